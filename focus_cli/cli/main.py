"""The `focus` command: a lazy group with one module of `focus_cli.cli` per command."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import Any, NoReturn

import rich_click as click
from click import exceptions as click_exceptions

from focus_cli import __version__
from focus_cli.cli.analysis_verb import analysis_verb
from focus_cli.cli.endings import leave, quiet_hooks, refusal_of, remove_temporaries
from focus_cli.cli.group import SuggestingGroup
from focus_cli.cli.verbs import VERBS, help_groups
from focus_cli.core.distributed.exit_report import write_exit_report
from focus_cli.core.errors import EXIT_CODE_LINE, EXIT_INTERRUPTED, EXIT_PREEMPTED, JOB_VARIABLE, FocusError
from focus_cli.core.interrupts import end_on_signals, noted_signal

click.rich_click.TEXT_MARKUP = "ansi"
click.rich_click.COMMAND_GROUPS = {"focus": help_groups()}


class LazyGroup(SuggestingGroup):
    """A group that imports a command's module only when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command's module and return the command."""
        if name not in VERBS:
            return None
        module = importlib.import_module(VERBS[name].module or f"focus_cli.cli.{name}")
        return module.command if hasattr(module, "command") else analysis_verb(name, module.analyse)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; hints of its errors propose only options that it has."""
        try:
            return super().invoke(ctx)
        except FocusError as error:
            if error.hint and ctx.invoked_subcommand:
                from focus_cli.cli.hints import possible_hint

                error.hint = possible_hint(error.hint, ctx.invoked_subcommand, self)
            raise


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Shell completion: `eval "$(_FOCUS_COMPLETE=bash_source focus)"`',
)
@click.version_option(__version__, prog_name="focus")
def cli() -> None:
    """Enhance spatial transcriptomics with histology, a single-cell reference and spatial priors.

    Enhance one section with one command:

        focus enhance RAW --image he.tif --reference cells.h5ad --out enhanced.h5ad

    \b
    Exit codes:
        0 success; 2 invalid options or configuration; 3 an input cannot be used;
        4 a file, library or memory is missing; 5 the output exists;
        70 out of memory during the run, or an internal error;
        74 the disk is full or the file system fails; 75 preempted, continue with --resume;
        130 interrupted; 143 terminated by SIGTERM
    """


def main() -> NoReturn:
    """Entry point: an error is printed as one line with a hint and has its own exit code, without a traceback."""
    _open_standard_streams()
    end_on_signals(remove_temporaries)
    quiet_hooks()
    _spell_out()
    _silence_libraries()
    try:
        code = cli.main(prog_name="focus", standalone_mode=False)
        sys.stdout.flush()
    except click_exceptions.Exit as error:
        code = error.exit_code
    except click_exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.ClickException as error:
        click.echo(f"focus: error: {' '.join(error.format_message().split())}", err=True)
        if where := getattr(error, "ctx", None):
            click.echo(f"  hint: {where.command_path} --help", err=True)
        code = error.exit_code
    except BrokenPipeError:
        code = 0
    except SystemExit as error:  # raised by click and rich when standard output is closed
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        code = 0
    except (click.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except Exception as error:
        if noted_signal() is None:
            code = _refused(error)
        else:  # it followed from the interruption
            code = EXIT_INTERRUPTED
    code = code if isinstance(code, int) else 0
    # An interruption whose exception was lost still counts, unless the state was saved for the next start.
    if (number := noted_signal()) is not None and code != EXIT_PREEMPTED:
        code = 128 + number
    if code > 128 or code == EXIT_INTERRUPTED:
        click.echo("focus: interrupted", err=True)
    if code and os.environ.get(JOB_VARIABLE):
        click.echo(f"{EXIT_CODE_LINE}{code}", err=True)
    leave(code)


def _open_standard_streams() -> None:
    """Open closed standard streams (``>&-``) on the null device; otherwise an output file would get their number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _spell_out() -> None:
    """Escape characters that the terminal's encoding lacks, as ``\\xb5m``, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _silence_libraries() -> None:
    """Suppress warnings of libraries, which contain installation paths; ``python -W`` shows them.

    Some libraries set warning filters when they are imported, so nothing is shown either.
    """
    # A command that FOCUS started was given "ignore" by it, see below.
    if sys.warnoptions in ([], ["ignore"]):
        warnings.simplefilter("ignore")
        warnings.showwarning = lambda *_, **__: None
        os.environ["PYTHONWARNINGS"] = "ignore"  # for the processes that a command starts


def _refused(error: Exception) -> int:
    """Print the error that an exception stands for and return its exit code; a defect is raised again."""
    refusal = refusal_of(error)
    if refusal is None:
        raise error
    if not write_exit_report(refusal):
        click.echo(f"focus: {refusal.word}: {refusal.message}", err=True)
        if refusal.hint:
            click.echo(f"  hint: {refusal.hint}", err=True)
    return refusal.exit_code

"""The `focus` command: a lazy group, one module of `focus_cli.cli` per verb."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import Any, NoReturn

import rich_click as click
from click import exceptions as click_exceptions

from focus_cli import __version__
from focus_cli.cli.endings import leave, quiet_hooks, refusal_of, remove_temporaries
from focus_cli.cli.group import SuggestingGroup
from focus_cli.core.distributed.exit_report import write_exit_report
from focus_cli.core.errors import EXIT_CODE_LINE, EXIT_INTERRUPTED, EXIT_PREEMPTED, JOB_VARIABLE, FocusError
from focus_cli.core.interrupts import end_on_signals, noted_signal

# The verbs in the order of the work. Each module is imported when its verb (or the full help) is asked for,
# and imports its own science only when it runs.
VERBS = (
    "inspect",
    "pretrain",
    "features",
    "nuclei",
    "preprocess",
    "reference",
    "prior",
    "corpus",
    "train",
    "enhance",
    "holdout",
    "evaluate",
    "embed",
    "domains",
    "celltypes",
    "patterns",
    "interactions",
    "annotate",
    "outcome",
    "why",
    "export",
    "report",
    "benchmark",
    "simulate",
    "run",
    "init",
    "doctor",
    "explain",
    "genes",
)

_AFTER = ["embed", "domains", "celltypes", "patterns", "interactions", "annotate", "outcome", "why", "export"]

click.rich_click.TEXT_MARKUP = "ansi"
click.rich_click.COMMAND_GROUPS = {
    "focus": [
        {"name": "Look", "commands": ["inspect", "genes", "explain", "doctor"]},
        {"name": "Histology", "commands": ["pretrain", "features", "nuclei"]},
        {"name": "Enhance", "commands": ["preprocess", "reference", "prior", "corpus", "train", "enhance"]},
        {
            "name": "After enhancement",
            "commands": _AFTER,
        },
        {"name": "Judge", "commands": ["holdout", "evaluate", "report", "benchmark"]},
        {"name": "Workflow", "commands": ["init", "run", "simulate"]},
    ]
}


class LazyGroup(SuggestingGroup):
    """A group that imports a verb's module when the verb is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the verb's module and return its `command`."""
        if name not in VERBS:
            return None
        return importlib.import_module(f"focus_cli.cli.{name}").command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; the hint of what it refuses proposes nothing that the verb lacks."""
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

    One section, one command:

        focus enhance RAW --image he.tif --reference cells.h5ad --out enhanced.h5ad

    \b
    Exit codes:
        0 done; 2 options or a configuration make no sense; 3 an input cannot be used;
        4 a file, library or memory is missing; 5 the output exists;
        70 memory ran out during the work, or a defect of FOCUS;
        74 the disk is full or the file system fails; 75 stopped, goes on with --resume;
        130 interrupted; 143 ended by SIGTERM
    """


def main() -> NoReturn:
    """Entry point: a refusal is one line, a hint and its own exit code; never a traceback."""
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
    except SystemExit as error:  # the way out of click and rich where nobody reads standard output any more
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
    # An interruption whose exception was lost counts all the same, unless the state was saved for the next start.
    if (number := noted_signal()) is not None and code != EXIT_PREEMPTED:
        code = 128 + number
    if code > 128 or code == EXIT_INTERRUPTED:
        click.echo("focus: interrupted", err=True)
    if code and os.environ.get(JOB_VARIABLE):
        click.echo(f"{EXIT_CODE_LINE}{code}", err=True)
    leave(code)


def _open_standard_streams() -> None:
    """Open what was closed before the start (``>&-``) on nothing: else a file that is written gets its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _spell_out() -> None:
    """Let characters that the terminal's encoding lacks be spelt out, as ``\\xb5m``, in place of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _silence_libraries() -> None:
    """Keep warnings of libraries, with their paths of the installation, off stderr; ``python -W`` shows them."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"  # for the processes that a verb starts


def _refused(error: Exception) -> int:
    """Say what an exception means; the exit code. A defect is raised again."""
    refusal = refusal_of(error)
    if refusal is None:
        raise error
    if not write_exit_report(refusal):
        click.echo(f"focus: {refusal.word}: {refusal.message}", err=True)
        if refusal.hint:
            click.echo(f"  hint: {refusal.hint}", err=True)
    return refusal.exit_code

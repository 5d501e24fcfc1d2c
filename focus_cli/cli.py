"""The `focus` command: a lazy group, one module of `focus_cli.commands` per verb."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import warnings
from typing import Any, NoReturn

import rich_click as click

from focus_cli import __version__
from focus_cli.commands.group import SuggestingGroup
from focus_cli.distributed.verdict import leave_verdict
from focus_cli.errors import (
    EXIT_CODE_LINE,
    EXIT_FILE_SYSTEM,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    JOB_VARIABLE,
    FocusError,
)

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


_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNREACHABLE = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN)
_LESS_MEMORY = (
    "train: lower batch_points, view_locations or genes_per_view (--config), or a smaller --preset; "
    "enhance: fewer --genes; preprocess: coarser --bin-um"
)


class LazyGroup(SuggestingGroup):
    """A group that imports a verb's module when the verb is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the verb's module and return its `command`."""
        if name not in VERBS:
            return None
        return importlib.import_module(f"focus_cli.commands.{name}").command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; the hint of what it refuses proposes nothing that the verb lacks."""
        try:
            return super().invoke(ctx)
        except FocusError as error:
            if error.hint and ctx.invoked_subcommand:
                from focus_cli.commands.hints import possible_hint

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
    """


def main() -> NoReturn:
    """Entry point: a refusal is one line, a hint and its own exit code; never a traceback."""
    _silence_libraries()
    try:
        code = cli.main(prog_name="focus", standalone_mode=False)
    except FocusError as error:
        if not leave_verdict(error):
            click.echo(f"focus: {error.word}: {error.message}", err=True)
            if error.hint:
                click.echo(f"  hint: {error.hint}", err=True)
        code = error.exit_code
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.ClickException as error:
        click.echo(f"focus: error: {' '.join(error.format_message().split())}", err=True)
        if where := getattr(error, "ctx", None):
            click.echo(f"  hint: {where.command_path} --help", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("focus: interrupted", err=True)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = 0
    except (MemoryError, RuntimeError) as error:
        # PyTorch has a RuntimeError of its own for a full GPU, and is not imported here.
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
            raise
        click.echo(f"focus: error: out of memory\n  hint: {_LESS_MEMORY}", err=True)
        code = EXIT_INTERNAL
    except OSError as error:
        if not (told := _file_system_at_fault(error)):
            raise
        click.echo(f"focus: error: {told[0]}\n  hint: {told[1]}", err=True)
        code = EXIT_FILE_SYSTEM
    code = code if isinstance(code, int) else 0
    if code and os.environ.get(JOB_VARIABLE):
        click.echo(f"{EXIT_CODE_LINE}{code}", err=True)
    sys.exit(code)


def _silence_libraries() -> None:
    """Keep warnings of libraries, with their paths of the installation, off stderr; ``python -W`` shows them."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"  # for the processes that a verb starts


def _file_system_at_fault(error: OSError) -> tuple[str, str] | None:
    """What to say of a disk that is full or a network file system that fails; None of any other error."""
    said = " ".join(str(error).split())
    # HDF5 hides the number in its text.
    number = next((n for n in (*_FULL, *_UNREACHABLE) if error.errno == n or f"errno = {n}," in said), None)
    where = f": {error.filename}" if error.filename else ""
    if number in _FULL:
        return f"{os.strerror(number).lower()}{where}", "free space or write elsewhere; nothing half-written is left"
    if number in _UNREACHABLE:
        return f"the file system fails ({os.strerror(number).lower()}){where}", "start again when it answers"
    return None

"""From a configuration to a running Snakemake."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from focus_cli.config import expand, load_config, load_samples
from focus_cli.errors import MissingResourceError
from focus_cli.progress import say
from focus_cli.workflow import locate, restart
from focus_cli.workflow.plan import Plan
from focus_cli.workflow.shell import use_this_environment

# With these Snakemake reads or repairs and starts no job: what is left of a killed run is left alone.
_NO_JOBS = {
    "-n", "--dry-run", "--dryrun", "--lint", "--dag", "--rulegraph", "--filegraph", "--summary", "-S",
    "--detailed-summary", "-D", "--list-rules", "--list", "-l", "--list-target-rules", "--lt", "--report",
    "--unlock", "--cleanup-metadata", "--version", "-v",
}  # fmt: skip
_OVERRIDES = {"--config", "-C"}
_ELSEWHERE = {"--directory", "-d"}


def snakemake_command(
    configfiles: Sequence[Path], profile: str, options: Sequence[str], snakefile: str = "Snakefile"
) -> list[str]:
    """The command line that runs a workflow, without the interpreter in front of it."""
    # --configfile takes any number of words: what follows it must be an option, or a target would be eaten.
    return [
        "snakemake",
        "--configfile",
        *(str(path) for path in configfiles),
        "--snakefile",
        _short(locate.snakefile(snakefile)),
        "--profile",
        _short(locate.profile(profile)),
        *options,
    ]


def check(configfiles: Sequence[Path], options: Sequence[str]) -> None:
    """Refuse what cannot run before Snakemake starts: the configuration, the sheet and every file they name.

    Values given by ``--config`` on the command line are seen by the Snakefile alone, which checks them again.

    Raises
    ------
    FocusError
        In one line, with every problem of the file at fault.
    """
    config = load_config(configfiles)
    if _OVERRIDES & set(options) or _ELSEWHERE & set(options):
        return
    plan = Plan(config, load_samples(expand(config.samples), check_paths=True))
    named = {
        "reference.path": plan.reference_path,
        "train.settings": config.train.settings,
        "enhance.genes": None if config.enhance.genes in ("measured", "all") else config.enhance.genes,
    }
    for key, path in named.items():
        if path and not Path(expand(path)).exists():
            raise MissingResourceError(f"{key}: no such file: {expand(path)}", hint="correct it in the config")


def launch(configfiles: Sequence[Path], profile: str, options: Sequence[str], snakefile: str = "Snakefile") -> NoReturn:
    """Settle what is left of a killed run, print the command, and become Snakemake; the configuration is checked.

    Raises
    ------
    FocusError
        If a run of this folder is alive, or the profile is not there.
    """
    command = snakemake_command(configfiles, profile, options, snakefile)
    use_this_environment()
    environment = dict(os.environ)
    python = [sys.executable, "-m"]
    if not _NO_JOBS & set(options):
        folder = _folder(options)
        bare = snakemake_command(configfiles, profile, [], snakefile)
        restart.settle(folder, [*python, *bare, "--unlock"])
        environment = restart.register(folder)
    say(shlex.join(command))
    # Not a child but this very process: signals and the exit code need no one in between.
    os.execve(sys.executable, [*python, *command], environment)


def _folder(options: Sequence[str]) -> Path:
    for option, value in itertools.pairwise(options):
        if option in _ELSEWHERE:
            return Path(value).resolve()
    return Path.cwd().resolve()


def _short(path: Path) -> str:
    """Relative where the path lies below the working directory: what is printed can be typed."""
    absolute = path.resolve()
    here = Path.cwd().resolve()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)

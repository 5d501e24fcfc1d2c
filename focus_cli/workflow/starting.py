"""From a configuration to a running Snakemake."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from focus_cli.core.errors import MissingResourceError
from focus_cli.core.progress import print_message
from focus_cli.core.storage.documents import read_yaml
from focus_cli.workflow import locate
from focus_cli.workflow.clean_up import clean_up
from focus_cli.workflow.config import load_config
from focus_cli.workflow.plan import make_plan
from focus_cli.workflow.progress_lines import VARIABLE as PROGRESS_LINES
from focus_cli.workflow.run_lock import acquire
from focus_cli.workflow.shell import use_this_environment

# With these Snakemake reads or repairs and starts no job: a killed run is not cleaned up.
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
        *(str(path.absolute() if str(path).startswith("-") else path) for path in configfiles),
        "--snakefile",
        _short(locate.snakefile(snakefile)),
        "--profile",
        _short(locate.find_profile(profile)),
        *options,
    ]


def check_run(configfiles: Sequence[Path], options: Sequence[str], samples: Path | None = None) -> None:
    """Refuse what cannot run before Snakemake starts: the configuration, the sheet and every file they name.

    Values given by ``--config`` on the command line are seen by the Snakefile alone, which checks them again.

    Parameters
    ----------
    configfiles, options
        As for `start_run`.
    samples
        A sheet in place of the configuration's.

    Raises
    ------
    FocusError
        In one line, with every problem of the file at fault.
    """
    config = load_config(configfiles)
    if samples is not None:
        config = config.model_copy(update={"samples": str(samples)})
    if _OVERRIDES & set(options) or _ELSEWHERE & set(options):
        return
    plan = make_plan(config, check_paths=True)
    named = dict(plan.files)
    if plan.container and "://" not in plan.container:
        named["container"] = plan.container
    for key, path in named.items():
        if not Path(path).exists():
            raise MissingResourceError(f"{key}: no such file: {path}", hint="correct it in the config")


def with_samples(options: Sequence[str], samples: Path) -> list[str]:
    """Snakemake's options with a sheet in place of the configuration's; of two ``--config`` it takes the last alone."""
    at = next((i for i, option in enumerate(options) if option in _OVERRIDES), len(options))
    override = [options[at] if at < len(options) else "--config", f"samples={_yaml_text(str(samples))}"]
    return [*options[:at], *override, *options[at + 1 :]]


def _yaml_text(text: str) -> str:
    """`text` such that Snakemake, which reads values of the command line as numbers or YAML, takes it as it is."""
    import yaml

    if re.fullmatch(r"(\.{0,2}/)?[A-Za-z][\w/-]*[./][\w./-]*", text, flags=re.ASCII):
        return text
    quoted = yaml.safe_dump(text, default_style='"', width=sys.maxsize).strip()
    # Quotes at both ends would be cut off.
    return f"!!str {quoted} #"


def start_run(
    configfiles: Sequence[Path], profile: str, options: Sequence[str], snakefile: str = "Snakefile"
) -> NoReturn:
    """Clean up after a killed run, print the command and execute Snakemake; the configuration has been checked.

    Raises
    ------
    FocusError
        If a run of this folder is active, or the profile does not exist.
    """
    command = snakemake_command(configfiles, profile, options, snakefile)
    use_this_environment()
    # A module in the folder of the study must not shadow a library of the same name.
    environment = dict(os.environ) | {"PYTHONSAFEPATH": "1"}
    python = [sys.executable, "-P", "-m"]
    if not _NO_JOBS & set(options):
        folder = _folder(options)
        lock = acquire(folder)
        if lock.predecessor is not None and not lock.predecessor.over:
            bare = snakemake_command(configfiles, profile, [], snakefile)
            clean_up(folder, lock.predecessor.executor, [*python, *bare, "--unlock"])
        environment |= lock.register(_executor(profile, options)) | {PROGRESS_LINES: "1"}
    print_message(shlex.join(command))
    # Replaces this process: signals and the exit code need no forwarding.
    os.execve(sys.executable, [*python, *command], environment)


def _executor(profile: str, options: Sequence[str]) -> str:
    """Executor of the jobs: of the command line, else of the profile."""
    if given := _value_of({"--executor", "-e"}, options):
        return given
    for path in sorted(locate.find_profile(profile).glob("config*.yaml"), reverse=True):
        if executor := (read_yaml(path) or {}).get("executor"):
            return str(executor)
    return "local"


def _value_of(names: set[str], options: Sequence[str]) -> str | None:
    for option, value in itertools.pairwise(options):
        if option in names:
            return value
    return None


def _folder(options: Sequence[str]) -> Path:
    return Path(_value_of(_ELSEWHERE, options) or ".").resolve()


def _short(path: Path) -> str:
    """Relative where the path lies below the working directory: what is printed can be typed."""
    absolute = path.resolve()
    here = Path.cwd().resolve()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)

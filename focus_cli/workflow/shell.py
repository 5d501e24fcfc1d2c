"""Words for the shell commands of the rules."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from focus_cli.core.errors import UsageError
from focus_cli.workflow.config.fields import SAFE_NAME

# What wildcards may hold. Alternatives of thousands of names take seconds to compile and to match.
ANY_NAME = SAFE_NAME.strip("^$").replace("{0,99}", "*")


def flags(**options: object) -> str:
    """Options for the shell, quoted: ``flags(bin_um=8, dense=True)`` → ``--bin-um 8 --dense``.

    What is None or False is left out; True is a switch without a value.
    """
    given = ((name.replace("_", "-"), value) for name, value in options.items() if not _left_out(value))
    return " ".join(f"--{name}" if value is True else _option(name, value) for name, value in given)


def each(option: str, values: Iterable[object]) -> str:
    """One option for every value: ``each("scores", "ab")`` → ``--scores a --scores b``."""
    return " ".join(_option(option, value) for value in values)


def one_of(names: Iterable[str]) -> str:
    """A pattern that matches these names and nothing else."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"


def by(wildcard: str, names: Iterable[str], value_of: Callable[[str], Any]) -> Any:
    """What a rule looks up by a wildcard: one pattern where a pattern suffices, else a function for Snakemake.

    ``by("sample", ["S1", "S2"], lambda name: f"out/{name}.h5ad")`` → ``"out/{sample}.h5ad"``. Snakemake fills in a
    pattern many times quicker than it calls a function, and a cohort has thousands of jobs.

    Parameters
    ----------
    wildcard
        Its name.
    names
        Every value that it takes in this run.
    value_of
        Name → text or list of texts.

    Returns
    -------
    str, list of str, or a function of wildcards
        An empty list where there are no names. The function raises UsageError for a name that is not one of `names`.
    """
    known = list(names)
    patterns = (_pattern(value_of(name), name, wildcard) for name in known)
    first = next(patterns, [])
    if first is not None and all(pattern == first for pattern in patterns):
        return first
    known = set(known)

    def look_up(wildcards):
        name = wildcards[wildcard]
        if name not in known:
            raise UsageError(f"no {wildcard} of this run is called {name}")
        return value_of(name)

    return look_up


def _pattern(value: Any, name: str, wildcard: str) -> Any:
    """`value` with the wildcard in place of `name`; None where its braces would be taken for wildcards."""
    if isinstance(value, str):
        return None if "{" in value or "}" in value else value.replace(name, f"{{{wildcard}}}")
    parts = [_pattern(part, name, wildcard) for part in value]
    return None if None in parts else parts


def use_this_environment() -> None:
    """Let shell commands find the programs of the running Python's environment, activated or not."""
    here = str(Path(sys.executable).parent)
    found = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if found[0] != here:
        os.environ["PATH"] = os.pathsep.join([here, *found])


def _left_out(value: object) -> bool:
    return value is None or value is False


def _option(name: str, value: object) -> str:
    # Written as one word where the value could be taken for the next option.
    word = _word(value)
    return f"--{name}={word}" if str(value).startswith("-") else f"--{name} {word}"


def _word(value: object) -> str:
    quoted = shlex.quote(f"{value:g}" if isinstance(value, float) else str(value))
    # Snakemake takes {name} in parameters of rules for a wildcard. Quotes that end and begin again after a brace are
    # nothing to the shell, and no pattern to Snakemake; shlex puts every word with a brace into single quotes.
    return quoted.replace("{", "{''")

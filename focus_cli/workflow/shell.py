"""Words for the shell commands of the rules."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path


def flags(**options: object) -> str:
    """Options for the shell, quoted: ``flags(bin_um=8, dense=True)`` → ``--bin-um 8 --dense``.

    What is None or False is left out; True is a switch without a value.
    """
    given = ((f"--{name.replace('_', '-')}", value) for name, value in options.items())
    words = ((name, "") if value is True else (name, _word(value)) for name, value in given if not _left_out(value))
    return " ".join(part for pair in words for part in pair if part)


def each(option: str, values: Iterable[object]) -> str:
    """One option for every value: ``each("scores", "ab")`` → ``--scores a --scores b``."""
    return " ".join(f"--{option} {_word(value)}" for value in values)


def one_of(names: Iterable[str]) -> str:
    """A pattern that matches these names and nothing else."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"


def use_this_environment() -> None:
    """Let shell commands find the programs of the running Python's environment, activated or not."""
    here = str(Path(sys.executable).parent)
    found = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if found[0] != here:
        os.environ["PATH"] = os.pathsep.join([here, *found])


def _left_out(value: object) -> bool:
    return value is None or value is False


def _word(value: object) -> str:
    return shlex.quote(f"{value:g}" if isinstance(value, float) else str(value))

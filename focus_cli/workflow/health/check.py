"""One line of the doctor."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

PASS, WARN, FAIL = "PASS", "WARN", "FAIL"
_PATIENCE_S = 15.0


@dataclass(frozen=True)
class Check:
    """Subject, result and suggestion of a check.

    Attributes
    ----------
    name
        What was looked at.
    status
        ``PASS``; ``WARN``, something optional is not there, or will be slow; ``FAIL``, FOCUS will not work here.
    found
        What was seen, in one line.
    fix
        What to do about it; empty where nothing is to be done.
    """

    name: str
    status: str
    found: str
    fix: str = ""


# A check of one subject; it may yield several results, or none if it does not apply.
Look = Callable[[], Iterator[Check]]


def ask(words: Sequence[str], patience_s: float = _PATIENCE_S) -> tuple[int, str]:
    """Run a program of the system and return its exit code and output. A program that hangs has code 124."""
    try:
        done = subprocess.run(list(words), capture_output=True, text=True, timeout=patience_s, check=False)
    except subprocess.TimeoutExpired:
        return 124, f"no response within {patience_s:.0f} s"
    except OSError as error:
        return 127, str(error.strerror)
    return done.returncode, (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip()

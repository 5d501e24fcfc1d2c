"""Every verb as a process of its own: what it prints is about the user's data, not about where FOCUS is installed.

The first command of each verb is started as a shell does it, so that what is printed while it imports counts; the
others are forked from a process that has imported everything.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import forked
import pytest
from verbs import COMMANDS, Command

import focus_cli

pytestmark = pytest.mark.attack

_PLACES = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_PLACES |= {str(Path(focus_cli.__file__).parent), "site-packages", "lib/python", "Traceback"}
_FIRST = {command.verb: command for command in reversed(COMMANDS)}.values()
_TIMEOUT_S = 300
_WARNING = re.compile(r"\b[A-Z]\w*Warning\b")


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(c.words)[:60] for c in COMMANDS])
def test_no_verb_prints_a_path_of_the_installation_or_a_warning_of_python(world, tmp_path, command: Command):
    words = [word.format(**world, out=tmp_path / "made") for word in command.words]
    if command in _FIRST:
        done = subprocess.run(
            [sys.executable, "-m", "focus_cli", *words], capture_output=True, text=True, check=False, cwd=tmp_path
        )
    else:
        done = forked.run(words, tmp_path, _TIMEOUT_S, together=True)
    assert done.returncode == 0 or command.words == ("explain", "{features}"), done.stderr
    said = (done.stdout + done.stderr).splitlines()
    assert not [line for line in said if any(place in line for place in _PLACES) or _WARNING.search(line)]

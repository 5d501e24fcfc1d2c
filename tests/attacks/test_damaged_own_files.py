"""Damage to every kind of file that FOCUS writes or is given: each verb that reads it is done or refuses in one line.

2,100 damaged files and more; `make test-attacks`. FOCUS_ATTACKS sets the number for each kind.
"""

from __future__ import annotations

import os

import pytest
from damaged import cases, counted, try_all
from verbs import COMMANDS, WITHOUT_FILES

from focus_cli.cli.main import VERBS

pytestmark = pytest.mark.attack

EACH = int(os.environ.get("FOCUS_ATTACKS", "56"))
NAMES = sorted({name for command in COMMANDS for name in command.reads} - {"raw", "image", "gene"})
_CODES = (2, 3, 4)


def test_every_verb_is_attacked():
    assert {command.verb for command in COMMANDS} | set(WITHOUT_FILES) == set(VERBS)


def test_what_is_not_damaged_is_done(world, tmp_path):
    from running import run

    for number, command in enumerate(COMMANDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome = run([word.format(**world, out=folder / "made") for word in command.words], folder)
        assert outcome.kind == "done" or command.words == ("explain", "{features}"), (command.words, outcome)


@pytest.mark.parametrize("name", NAMES)
def test_damage_ends_in_one_line(world, tmp_path, name, capsys):
    results = try_all(world, list(cases(world, EACH, [name])), tmp_path)
    with capsys.disabled():
        print(f"{name}: {len(results)} damaged, {counted(results)}")
    faults = [str(r) for r in results if r.outcome.fault]
    assert not faults, "\n".join(faults)
    wrong = [str(r) for r in results if r.outcome.kind == "refused" and r.outcome.code not in _CODES]
    assert not wrong, "\n".join(wrong)
    left = [str(r) for r in results if r.left]
    assert not left, "\n".join(left)

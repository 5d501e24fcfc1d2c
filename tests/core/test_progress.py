"""Progress: one line for one state of the work, one display on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from focus_cli.core import progress
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import scratch_folder


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_the_last_state_of_slow_work_is_said_once(capsys, clock):
    for _ in progress.track(range(3), "reading"):
        clock[0] += 11
    said = capsys.readouterr().err.splitlines()
    assert said == ["reading: 1/3 (33 %)", "reading: 2/3 (67 %)", "reading: 3/3 (100 %)"]


def test_quick_work_is_said_once(capsys, clock):
    with progress.task("training", 2) as running:
        running.advance()
        running.note("loss 1")
        running.advance()
    assert capsys.readouterr().err.splitlines() == ["training: 2/2 (100 %) loss 1"]


def test_work_within_work_is_said_once_each(capsys, clock):
    for _ in progress.track("ab", "outer"):
        list(progress.track("xy", "inner"))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["inner: 2/2 (100 %)", "inner: 2/2 (100 %)", "outer: 2/2 (100 %)"]


def test_work_that_fails_is_not_said_to_be_done(capsys, clock):
    with pytest.raises(ValueError), progress.task("reading", 2):
        raise ValueError
    assert capsys.readouterr().err == ""


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_work_within_work_in_one_display(monkeypatch):
    monkeypatch.setattr(sys, "stderr", screen := _Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress.task("outer", 2) as outer:
        for _ in progress.track("xy", "inner"):
            progress.print_message("a word")
        outer.advance(2)
    shown = screen.getvalue()
    assert shown.count("a word\n") + shown.count("a word\r\n") == 2
    assert shown.rstrip().count("\n") >= 2
    assert not progress._bars


def test_intermediate_paths_are_named_as_the_user_knows_them(tmp_path, capsys):
    with scratch_folder(names={"reference": tmp_path / "cells.h5ad", "sample": None}) as scratch:
        progress.print_message(f"reading {scratch / 'reference' / 'cells.h5ad'}")
    assert capsys.readouterr().err == f"reading {tmp_path / 'cells.h5ad'}/cells.h5ad\n"
    with pytest.raises(BadInputError) as refused, scratch_folder(names={"reference": "cells.h5ad"}) as scratch:
        raise BadInputError(f"{scratch / 'reference'} is empty", hint=f"look at {scratch / 'reference'}")
    assert (refused.value.message, refused.value.hint) == ("cells.h5ad is empty", "look at cells.h5ad")
    assert str(refused.value) == "cells.h5ad is empty"
    progress.print_message(str(scratch))
    assert capsys.readouterr().err == f"{scratch}\n"

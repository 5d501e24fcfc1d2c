"""Temporaries say whose they are: those of a process that is gone are removed, those of a live one never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from focus_cli.core import interrupts
from focus_cli.core.errors import BadInputError, FileSystemError
from focus_cli.core.storage import atomic_directory, atomic_file, scratch_folder
from focus_cli.core.storage import faults as faults_module
from focus_cli.core.storage.faults import fault_of
from focus_cli.core.storage.kinds import PART, PART_FOLDER
from focus_cli.core.storage.temporaries import sweep_siblings, temporary_sibling

_WORK = """
import sys, time
from pathlib import Path
from focus_cli.core.storage import atomic_file, atomic_directory, scratch_folder
from focus_cli.core.storage.kinds import PART, PART_FOLDER
out = Path(sys.argv[1])
file, folder = atomic_file(out / "file.txt", kind=PART), atomic_directory(out / "folder", kind=PART_FOLDER)
with scratch_folder(out), file as a, folder as b:
    a.write_text("half"); (b / "x").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def working(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", _WORK, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()


def write(out: Path) -> None:
    with scratch_folder(out), atomic_file(out / "file.txt", kind=PART) as file:
        file.write_text("whole")
    with atomic_directory(out / "folder", kind=PART_FOLDER):
        pass


def test_what_is_alive_stays_and_what_is_dead_goes(working, tmp_path):
    there = sorted(p.name for p in tmp_path.iterdir())
    assert len(there) == 3
    write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*there, "file.txt", "folder"])
    working.kill()
    working.wait()
    for path in (tmp_path / "file.txt", tmp_path / "folder"):
        path.unlink() if path.is_file() else path.rmdir()
    write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.txt", "folder"]


def test_temporaries_of_other_machines_and_of_other_outputs_stay(tmp_path):
    mine = temporary_sibling(tmp_path / "out.h5ad")
    pid = 2**22 + 1  # beyond the largest
    parts = mine.name.split(".")
    machine, boot, _, start, tail = parts[2].split("-")
    dead = [machine, boot, f"{pid:x}", start, tail]
    elsewhere = ["0" * 8, *dead[1:]]
    rebooted = [machine, "0" * 8, *dead[2:]]
    for owner, name in ((dead, "other"), (elsewhere, "out"), (dead, "out"), (rebooted, "out")):
        (tmp_path / f".{name}.{'-'.join(owner)}.tmp.h5ad").touch()
    mine.touch()
    assert sweep_siblings(tmp_path / "out.h5ad") == 2
    assert {p.name.split(".")[1] for p in tmp_path.iterdir()} == {"other", "out"} and len(list(tmp_path.iterdir())) == 3


def test_a_lost_interruption_is_raised_before_an_output_takes_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(interrupts._state, "process", os.getpid())
    with pytest.raises(interrupts.Interrupted), atomic_file(tmp_path / "out.txt", kind=PART) as file:
        file.write_text("half")
        monkeypatch.setattr(interrupts._state, "noted", int(signal.SIGINT))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interruption_that_a_callback_swallows_ends_the_process(tmp_path, number):
    code = """
import time
from focus_cli.core import interrupts
interrupts.GRACE_S = 0.5
interrupts.end_on_signals()
while True:
    try:
        print("ready", flush=True)
        time.sleep(10)
    except BaseException:
        pass
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=20) == 128 + number and time.monotonic() - start < 15
    finally:
        process.kill()


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError("Can't write data (file write failed: time = now, errno = 28, error message = 'x', buf = 0)"),
        RuntimeError("Can't decrement id ref count (file write failed: errno = 27, error message = 'File too large'"),
        RuntimeError("SafetensorError: I/O error: No space left on device (os error 28)"),
        ExceptionGroup("zarr", [OSError(122, "Disk quota exceeded")]),
    ],
)
def test_faults_are_recognised_whatever_raises_them(tmp_path, error):
    assert fault_of(error).exit_code == 74
    with pytest.raises(FileSystemError), atomic_file(tmp_path / "out.txt", kind=PART):
        try:
            raise error
        except Exception as cause:
            raise ValueError("a library hides it") from cause
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error", [ValueError("no"), BadInputError("no space left on device is a gene"), OSError(2, "no file")]
)
def test_other_errors_are_no_faults(tmp_path, error):
    assert fault_of(error) is None
    with pytest.raises(type(error)), atomic_file(tmp_path / "out.txt", kind=PART):
        raise error


def test_a_fault_that_could_not_be_raised_keeps_an_output_from_its_name(tmp_path):
    with pytest.raises(FileSystemError), atomic_file(tmp_path / "out.txt", kind=PART) as file:
        file.write_text("cut off")
        faults_module.note_fault(FileSystemError("no space left on device"))
    assert not list(tmp_path.iterdir())

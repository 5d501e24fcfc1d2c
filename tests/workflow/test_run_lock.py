"""One run at a time in a folder, whoever starts it and wherever; a dead one never blocks the next."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from focus_cli.core.errors import FocusError, UsageError
from focus_cli.core.storage import atomic_directory, atomic_file
from focus_cli.core.storage.fencing import FOLDER_VARIABLE, RECORD, TOKEN_VARIABLE
from focus_cli.core.storage.kinds import PART, PART_FOLDER
from focus_cli.workflow import run_lock
from focus_cli.workflow.run_lock import acquire, keep_alive, release

# Locks the folder and becomes another program that keeps the lock, as `focus run` becomes Snakemake.
HOLD = """
import os, signal, sys
from pathlib import Path
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_DFL)  # whatever who runs the tests ignores
from focus_cli.workflow.run_lock import acquire
environment = acquire(Path(sys.argv[1])).register("local")
program = "print('held', flush=True); import time; time.sleep(600)"
os.execve(sys.executable, [sys.executable, "-c", program], environment)
"""


@pytest.fixture
def holder(tmp_path):
    started = []

    def start() -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def record_of(folder: Path) -> dict:
    return json.loads((folder / RECORD).read_text())


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """A folder that this process runs, as its children see it."""
    environment = acquire(tmp_path).register("local")
    for name in (FOLDER_VARIABLE, TOKEN_VARIABLE):
        monkeypatch.setenv(name, environment[name])
    return tmp_path


def test_a_folder_without_a_past_is_free(tmp_path):
    assert acquire(tmp_path).predecessor is None


def test_a_living_run_keeps_its_folder_after_it_became_another_program(tmp_path, holder):
    process = holder()
    with pytest.raises(UsageError, match=rf"already running \(process {process.pid} on {socket.gethostname()}\)"):
        acquire(tmp_path)
    assert process.poll() is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_however_a_run_dies_its_folder_is_free_at_once(tmp_path, holder, how):
    process = holder()
    process.send_signal(how)
    process.wait()
    lock = acquire(tmp_path)
    assert lock.predecessor.pid == process.pid
    assert not lock.predecessor.over


def test_children_of_a_run_do_not_hold_its_folder(tmp_path):
    """A job that outlives its run must not make the run look alive."""
    program = HOLD.replace("import time; time.sleep(600)", "import subprocess; subprocess.Popen(['sleep', '600'])")
    process = subprocess.Popen([sys.executable, "-c", program, tmp_path])
    process.wait()
    assert acquire(tmp_path).predecessor.pid == process.pid


def test_a_number_given_to_another_process_is_not_taken_for_the_run(tmp_path):
    (tmp_path / RECORD).parent.mkdir()
    (tmp_path / RECORD).write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "token": "old"}))
    assert acquire(tmp_path).predecessor.pid == os.getpid()


def test_a_run_on_another_host_is_alive_while_it_is_heard_of(tmp_path):
    (tmp_path / RECORD).parent.mkdir()
    (tmp_path / RECORD).write_text(json.dumps({"pid": 1, "host": "elsewhere", "token": "old"}))
    with pytest.raises(UsageError, match=r"on elsewhere was active \d s ago"):
        acquire(tmp_path)
    long_ago = time.time() - run_lock.SILENCE_S - 5
    os.utime(tmp_path / RECORD, (long_ago, long_ago))
    assert acquire(tmp_path).predecessor.host == "elsewhere"


def test_a_run_that_came_to_its_end_on_another_host_is_over(tmp_path):
    (tmp_path / RECORD).parent.mkdir()
    (tmp_path / RECORD).write_text(json.dumps({"pid": 1, "host": "elsewhere", "token": "old", "over": True}))
    assert acquire(tmp_path).predecessor.over


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_damaged_record_is_no_obstacle(tmp_path, text):
    (tmp_path / RECORD).parent.mkdir()
    (tmp_path / RECORD).write_text(text)
    assert acquire(tmp_path).predecessor is None


def test_a_run_that_lives_is_heard_of(registered, monkeypatch):
    monkeypatch.setattr(run_lock, "HEARTBEAT_S", 0.05)
    os.utime(registered / RECORD, (0, 0))
    keep_alive()
    end = time.monotonic() + 10
    while (registered / RECORD).stat().st_mtime == 0:
        assert time.monotonic() < end, "no sign of life"
        time.sleep(0.02)


def test_a_run_says_that_it_is_over(registered):
    release()
    assert record_of(registered)["over"] is True


def test_jobs_of_the_run_write(registered):
    with atomic_file(registered / "out.txt", kind=PART) as temporary:
        temporary.write_text("lock")
    assert (registered / "out.txt").read_text() == "lock"


def test_jobs_of_a_replaced_run_do_not_write(registered):
    """The head died, its job went on unseen, another run took the folder over: the job gives up."""
    with atomic_file(registered / "out.txt", kind=PART) as temporary:
        temporary.write_text("the other run's")
    (registered / RECORD).write_text(json.dumps(record_of(registered) | {"token": "another"}))
    with (
        pytest.raises(FocusError, match="was replaced by another"),
        atomic_file(registered / "out.txt", overwrite=True, kind=PART) as temporary,
    ):
        temporary.write_text("the dead run's")
    made = atomic_directory(registered / "made", kind=PART_FOLDER)
    with pytest.raises(FocusError, match="was replaced by another"), made:
        pass
    assert (registered / "out.txt").read_text() == "the other run's"
    assert sorted(p.name for p in registered.iterdir()) == [".snakemake", "out.txt"]
    release()
    assert "over" not in record_of(registered), "a dead run must not speak for the living"

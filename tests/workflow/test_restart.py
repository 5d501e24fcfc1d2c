"""A killed run leaves nothing behind that could write beside the next one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from focus_cli.errors import UsageError
from focus_cli.workflow.restart import MARK, register, settle, sweep

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def process():
    started = []

    def start(**environment: str) -> subprocess.Popen:
        child = subprocess.Popen(SLEEP, env={**os.environ, **environment})
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()


def leave_record(folder: Path, pid: int, born: float, host: str | None = None) -> Path:
    record = folder / ".snakemake" / "focus-run.json"
    record.write_text(json.dumps({"pid": pid, "born": born, "host": host or socket.gethostname()}))
    return record


def unlock(folder: Path) -> list[str]:
    return [sys.executable, "-c", f"open({str(folder / 'unlocked')!r}, 'w')"]


def test_a_folder_without_a_past_needs_nothing(tmp_path):
    settle(tmp_path, unlock(tmp_path))
    assert not (tmp_path / "unlocked").exists()


def test_orphans_of_a_killed_run_are_ended_and_its_lock_opened(folder, process):
    parent = process()
    record = leave_record(folder, parent.pid, psutil.Process(parent.pid).create_time())
    (folder / ".snakemake" / "locks" / "0.output.lock").touch()
    orphan, stranger = process(**{MARK: str(folder)}), process(**{MARK: "/another/run"})
    parent.kill()
    parent.wait()
    settle(folder, unlock(folder))
    assert not psutil.pid_exists(orphan.pid)
    assert stranger.poll() is None
    assert (folder / "unlocked").exists()
    assert not record.exists()


def test_a_living_run_is_left_alone(folder, process):
    parent = process(**{MARK: str(folder)})
    leave_record(folder, parent.pid, psutil.Process(parent.pid).create_time())
    with pytest.raises(UsageError, match=rf"at work already \(process {parent.pid}\)"):
        settle(folder, unlock(folder))
    assert parent.poll() is None
    assert not (folder / "unlocked").exists()


def test_a_number_given_to_another_process_is_not_taken_for_the_run(folder, process):
    other = process()
    record = leave_record(folder, other.pid, psutil.Process(other.pid).create_time() - 100)
    settle(folder, unlock(folder))
    assert other.poll() is None
    assert not record.exists()


def test_a_locked_run_of_another_host_is_not_judged_from_here(folder):
    leave_record(folder, 1, 0.0, host="elsewhere")
    (folder / ".snakemake" / "locks" / "0.output.lock").touch()
    with pytest.raises(UsageError, match="was started on elsewhere"):
        settle(folder, unlock(folder))


def test_a_run_registers_itself(tmp_path):
    environment = register(tmp_path)
    written = json.loads((tmp_path / ".snakemake" / "focus-run.json").read_text())
    assert written["pid"] == os.getpid()
    assert environment[MARK] == str(tmp_path)


def test_slurm_jobs_of_a_killed_run_are_cancelled(folder, tmp_path, monkeypatch):
    """Of three jobs of the user only the one of this folder and of Snakemake is cancelled."""
    bin_folder, state = tmp_path / "bin", tmp_path / "jobs"
    bin_folder.mkdir()
    uuid = "0a1b2c3d-0000-4000-8000-123456789abc"
    state.write_text(f"11|{uuid}|{folder}\n12|{uuid}|/another/run\n13|notebook|{folder}\n")
    (bin_folder / "squeue").write_text(f"#!/bin/sh\ncat {state}\n")
    (bin_folder / "scancel").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/cancelled\nsed -i "/^$1|/d" {state}\n')
    for tool in bin_folder.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    leave_record(folder, 2**22 - 1, 0.0)
    settle(folder, unlock(folder))
    assert (tmp_path / "cancelled").read_text() == "11\n"


def test_sweep_removes_temporaries_and_nothing_else(tmp_path):
    (tmp_path / "samples" / ".S1.0123abcd.tmp" / "deep").mkdir(parents=True)
    (tmp_path / "samples" / "S1").mkdir()
    kept = [tmp_path / "samples" / "S1" / "counts.h5ad", tmp_path / ".hidden.tmp", tmp_path / "notes.tmp.txt"]
    for path in [*kept, tmp_path / ".x.89abcdef.tmp.h5ad"]:
        path.touch()
    assert sweep(tmp_path) == 2
    assert all(path.exists() for path in kept)
    assert not (tmp_path / "samples" / ".S1.0123abcd.tmp").exists()
    assert not (tmp_path / ".x.89abcdef.tmp.h5ad").exists()

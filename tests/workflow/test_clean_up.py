"""A killed run leaves nothing behind that could write beside the next one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from focus_cli.core.errors import MissingResourceError
from focus_cli.core.storage.fencing import FOLDER_VARIABLE
from focus_cli.workflow.clean_up import clean_up, sweep

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


def unlock(folder: Path) -> list[str]:
    return [sys.executable, "-c", f"open({str(folder / 'unlocked')!r}, 'w')"]


def test_nothing_is_left_of_a_run_that_left_nothing(folder):
    clean_up(folder, "local", unlock(folder))
    assert not (folder / "unlocked").exists()


def test_orphans_of_a_killed_run_are_ended_and_its_lock_opened(folder, process):
    (folder / ".snakemake" / "locks" / "0.output.lock").touch()
    orphan, stranger = process(**{FOLDER_VARIABLE: str(folder)}), process(**{FOLDER_VARIABLE: "/another/run"})
    clean_up(folder, "local", unlock(folder))
    assert orphan.poll() is not None
    assert stranger.poll() is None
    assert (folder / "unlocked").exists()


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
    clean_up(folder, "slurm", unlock(folder))
    assert (tmp_path / "cancelled").read_text() == "11\n"


def test_a_silent_slurm_stops_the_next_run(folder, tmp_path, monkeypatch):
    """Whether jobs live cannot be known: to go on could mean two writers."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\necho 'slurm_load_jobs error' >&2\nexit 1\n")
    (tmp_path / "bin" / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(MissingResourceError, match="Slurm does not respond"):
        clean_up(folder, "slurm", unlock(folder))


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

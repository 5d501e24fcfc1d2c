"""A run that is killed again and again ends with the same bytes as one that never was."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from focus_cli.core.storage.fencing import FOLDER_VARIABLE
from focus_cli.workflow.clean_up import sweep

KILLS = 4
LIMIT_S = 900
CONFIG = """\
samples: study/samples.tsv
reference: {path: study/reference.h5ad}
train: {max_steps: 20, device: cpu}
enhance: {samples: 4, device: cpu}
evaluate:
  folds:
    - {sample: S1, task: denoise, fraction: 0.5}
"""


def prepare(folder: Path, study: Path) -> Path:
    folder.mkdir()
    shutil.copytree(study, folder / "study")
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def start(folder: Path) -> subprocess.Popen:
    program = "from focus_cli.cli.main import main; main()"
    log = open(folder / "run.log", "ab")  # noqa: SIM115 - the child keeps it
    return subprocess.Popen([sys.executable, "-c", program, "run", "--cores", "2"], cwd=folder, stdout=log, stderr=log)


def finish(folder: Path) -> None:
    process = start(folder)
    assert process.wait(timeout=LIMIT_S) == 0, (folder / "run.log").read_text()[-4000:]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every result; logs and benchmarks tell the time and are left out."""
    results = folder / "results"
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.relative_to(results).parts[0]
        not in ("logs", "benchmarks", "runs", "cohort.html", "cohort.tsv", "cohort.json")
    }


def processes_of(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"{FOLDER_VARIABLE}={folder}".encode() in words:
                found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, study):
    unbroken = prepare(tmp_path / "unbroken", study.path)
    began = time.monotonic()
    finish(unbroken)
    duration = time.monotonic() - began

    broken = prepare(tmp_path / "broken", study.path)
    rng = np.random.default_rng(0)
    killed = 0
    for moment in np.sort(rng.uniform(0.1, 0.7, KILLS)) * duration / 2:
        process = start(broken)
        try:
            process.wait(timeout=float(moment))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed >= 2, "the run was too quick to be killed: nothing was tested"
    finish(broken)

    assert digests(broken) == digests(unbroken)
    assert sweep(broken / "results") == 0, "temporary files were left behind"
    assert processes_of(broken) == []

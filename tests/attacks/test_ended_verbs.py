"""Every verb that writes: on a full disk, under a limit on file sizes, ended by signals, and killed.

Each is a process of its own. It ends with the code that is stated, in one line, and leaves nothing behind: neither
beside its outputs nor in its scratch folder. On the full disk, and where a signal arrives early, the process is started
as a shell does it; the others are forked from one that has imported everything.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import forked
from writing_verbs import SILENT, Case, cases, environment, make_inputs

from focus_cli.cli.main import VERBS
from focus_cli.core.errors import EXIT_FILE_SYSTEM, EXIT_PREEMPTED

pytestmark = pytest.mark.attack

NAMES = [
    "simulate", "init", "preprocess", "reference", "prior", "corpus", "train", "enhance", "embed", "holdout",
    "evaluate", "domains", "patterns", "interactions", "export", "export-zarr", "export-page", "report", "nuclei",
    "nuclei-csv", "why", "celltypes", "pretrain", "features", "annotate-fit",
    "annotate-apply", "outcome-fit", "outcome-apply",
]  # fmt: skip
FULL_KB = 24
LIMIT_S = 600
# What a verb that goes on where it was keeps beside its output, or in it.
KEPT = (".checkpoint", ".partial", "corpus", "new")


@pytest.fixture(scope="module")
def made(study, tmp_path_factory, repo) -> dict[str, Case]:
    """The cases by name."""
    return {case.name: case for case in cases(make_inputs(tmp_path_factory.mktemp("inputs"), study, repo))}


def test_every_verb_that_writes_is_here(made):
    assert {case.verb for case in made.values()} == set(VERBS) - SILENT
    assert list(made) == NAMES or set(made) == set(NAMES)


@contextmanager
def small_disk(path: Path, kb: int):
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kb}k", "tmpfs", path], check=False).returncode == 0
    if not mounted:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)


def ended_well(case: Case, done: subprocess.CompletedProcess, out: Path, scratch: Path) -> None:
    """One line and its hint, no traceback, nothing half-written, nothing in the scratch folder."""
    said = done.stderr
    assert "Traceback" not in said and "Exception ignored" not in said and "HDF5" not in said, said
    assert "Segmentation" not in said and done.returncode >= 0, (done.returncode, said)
    left = [p.name for p in out.iterdir() if not any(word in p.name for word in KEPT)] if out.exists() else []
    assert not [name for name in left if name.startswith(".")], left
    assert not [p.name for p in scratch.iterdir() if p.name.startswith(".focus")]


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_ends_every_verb_in_one_line(made, name, tmp_path):
    case, scratch = made[name], tmp_path / "scratch"
    scratch.mkdir()
    with small_disk(tmp_path / "disk", FULL_KB) as out:
        (out / "filler").write_bytes(b"\0" * ((FULL_KB - 8) << 10))
        done = subprocess.run(
            case.command(out), capture_output=True, text=True, check=False, env=environment(scratch), timeout=LIMIT_S
        )
        assert done.returncode == EXIT_FILE_SYSTEM, (done.returncode, done.stderr)
        ended_well(case, done, out, scratch)
        assert "no space left on device" in done.stderr
        assert not [p for p in case.outputs if (out / p).exists() and p not in KEPT]


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_on_file_sizes_ends_every_verb_in_one_line(made, name, tmp_path):
    case, scratch, out = made[name], tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    done = forked.run(case.words(out), scratch, LIMIT_S, file_limit=1 << 10)
    assert done.returncode == EXIT_FILE_SYSTEM, (done.returncode, done.stderr)
    ended_well(case, done, out, scratch)
    assert "file too large" in done.stderr


Process = subprocess.Popen | forked.Forked


def started(case: Case, out: Path, scratch: Path) -> subprocess.Popen:
    return subprocess.Popen(
        case.command(out), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment(scratch)
    )


def end(process: Process, number: int) -> subprocess.CompletedProcess:
    process.send_signal(number)
    _, said = process.communicate(timeout=LIMIT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, "", said)


def first_temporary(process: Process, *folders: Path) -> None:
    """Wait until the process has begun to write, or is done."""
    while process.poll() is None:
        if any(p.name.startswith(".") for folder in folders for p in folder.iterdir()):
            return
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGTERM, "early"),
        (signal.SIGTERM, "writing"),
        (signal.SIGINT, "working"),
        (signal.SIGINT, "writing"),
        (signal.SIGHUP, "early"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_signal_ends_every_verb_with_its_code(made, name, number, moment, tmp_path):
    case, scratch, out = made[name], tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    process: Process
    if moment == "early":
        process = started(case, out, scratch)
        time.sleep(1.5)
    else:
        process = forked.Forked(case.words(out), scratch)
        first_temporary(process, out, scratch) if moment == "writing" else time.sleep(0.3)
    done = end(process, number)
    if done.returncode == 0:
        pytest.skip("it was done already")
    stated = {128 + number} | ({EXIT_PREEMPTED} if case.saves else set())
    if moment == "early" and done.returncode == -number:
        pytest.skip("the interpreter was not up yet")
    assert done.returncode in stated, (done.returncode, done.stderr)
    ended_well(case, done, out, scratch)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_killed_verb_leaves_is_gone_after_the_next(made, name, tmp_path):
    case, scratch, out = made[name], tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    process = forked.Forked(case.words(out), scratch)
    first_temporary(process, out, scratch)
    end(process, signal.SIGKILL)
    done = forked.run(case.words(out), scratch, LIMIT_S)
    if process.returncode == 0:
        pytest.skip("it was done already")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in out.iterdir()) == sorted(case.outputs)
    assert not [p.name for p in scratch.iterdir() if p.name.startswith(".focus")]
    shutil.rmtree(out)

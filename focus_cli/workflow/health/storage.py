"""File systems: free space, speed, locks and clock, here and on scratch."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from focus_cli.core.storage import scratch_folder
from focus_cli.workflow.health.check import FAIL, PASS, WARN, Check

_MIN_FREE_GB = 10.0
_SLOW_MB_S = 50.0
_FEW_FILES_S = 100.0
_PROBE_MB = 32
_FILES = 200
_SKEW_S = 2.0
_SCRATCH_VARIABLES = ("SLURM_TMPDIR", "TMPDIR")


@dataclass(frozen=True)
class Speed:
    """Speed of a folder: MB/s of a synced write, small files per second, seconds that its clock is ahead."""

    mb_per_s: float
    files_per_s: float
    ahead_s: float


def measure(folder: Path) -> Speed:
    """Write 32 MB and 200 small files into a temporary folder in `folder`, and remove them.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    block = os.urandom(1 << 20)
    with scratch_folder(folder) as inside:
        start = time.perf_counter()
        with open(inside / "block", "wb") as probe:
            for _ in range(_PROBE_MB):
                probe.write(block)
            probe.flush()
            os.fsync(probe.fileno())
        mb_per_s = _PROBE_MB / (time.perf_counter() - start)
        start = time.perf_counter()
        for i in range(_FILES):
            (inside / f"{i}").write_bytes(b"focus")
        files_per_s = _FILES / (time.perf_counter() - start)
        return Speed(mb_per_s, files_per_s, _ahead(inside / "clock"))


def _ahead(path: Path) -> float:
    """Seconds by which the clock that stamps files is ahead of this host's; 0 within the resolution."""
    before = time.time()
    path.write_bytes(b"focus")
    after = time.time()
    stamped = path.stat().st_mtime
    # The resolution of a time stamp may be a tick of the kernel, so that it is slightly before the write.
    return stamped - after if stamped > after else min(stamped - before + 0.05, 0.0)


def here() -> Iterator[Check]:
    """The working directory: free space, speed, locks, clock."""
    yield from _folder("disk", Path.cwd(), "run on a local or parallel file system with free space")
    yield _locks(Path.cwd())


def scratch() -> Iterator[Check]:
    """Temporary space, where it is another file system than the working directory."""
    named = [name for name in _SCRATCH_VARIABLES if os.environ.get(name)]
    for name in named:
        if not Path(os.environ[name]).is_dir():
            yield Check(
                "scratch", WARN, f"${name} is {os.environ[name]}, which is no folder", f"mkdir -p it, or unset {name}"
            )
            return
    folder = Path(os.environ[named[0]]) if named else Path(tempfile.gettempdir())
    label = f"${named[0]}" if named else "no $TMPDIR"
    if folder.stat().st_dev == Path.cwd().stat().st_dev:
        yield Check("scratch", PASS, f"{folder} ({label}), on the same file system as this folder")
        return
    yield from _folder(f"scratch ({label})", folder, "export TMPDIR=/a/local/disk/with/space")


def _folder(name: str, folder: Path, fix: str) -> Iterator[Check]:
    free = shutil.disk_usage(folder).free / 1e9
    try:
        speed = measure(folder)
    except OSError as error:
        yield Check(name, FAIL, f"cannot write into {folder}: {error.strerror}", "change to a folder of yours")
        return
    found = (
        f"{free:.0f} GB free in {folder}, synced writes {speed.mb_per_s:.0f} MB/s, "
        f"{speed.files_per_s:.0f} small files/s"
    )
    if free < _MIN_FREE_GB:
        yield Check(name, WARN, found, f"keep {_MIN_FREE_GB:.0f} GB free for a Visium HD section")
    elif speed.mb_per_s < _SLOW_MB_S or speed.files_per_s < _FEW_FILES_S:
        yield Check(name, WARN, f"{found}: slow", fix)
    else:
        yield Check(name, PASS, found)
    if abs(speed.ahead_s) > _SKEW_S:
        yield Check(
            f"clock of {name}",
            WARN,
            f"files are stamped {abs(speed.ahead_s):.0f} s {'ahead of' if speed.ahead_s > 0 else 'behind'} this host",
            "contact the administrator (NTP): Snakemake uses these time stamps to decide what is new",
        )


def _locks(folder: Path) -> Check:
    """``flock``: one run at a time in a folder depends on it."""
    path = folder / f".focus-doctor-{os.getpid()}.lock"
    fix = "mount with locks (Lustre: -o flock), or run in a folder that has them"
    try:
        with open(path, "w") as first, open(path) as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return Check("locks", PASS, f"flock works in {folder}")
            return Check("locks", WARN, f"flock has no effect in {folder}: two runs could write at once", fix)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            return Check("locks", WARN, f"no flock in {folder}: {error.strerror}", fix)
        return Check("locks", FAIL, f"cannot write into {folder}: {error.strerror}", "change to a folder of yours")
    finally:
        path.unlink(missing_ok=True)

"""The run lock of a folder: one run at a time, and a new one only if the last has ended.

A run holds a kernel lock (``flock``) on its record while its process lives; the lock ends with the process. Some
network file systems keep such locks per host, so the record also stores the host, and its time stamp is renewed while
the run lives: a run on another host counts as dead if its record has not been renewed for `SILENCE_S`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from focus_cli.core.errors import MissingResourceError, UsageError
from focus_cli.core.storage.fencing import FOLDER_VARIABLE, RECORD, TOKEN_VARIABLE

HEARTBEAT_S = 20.0
SILENCE_S = 180.0
_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Predecessor:
    """The last run of the folder, which has ended."""

    pid: int
    host: str
    executor: str
    """Snakemake executor of its jobs."""
    over: bool
    """Whether it ended by itself, successfully or not, and has no remaining jobs."""


@dataclass(frozen=True)
class RunLock:
    """The lock on a folder, which persists when the process executes another program."""

    folder: Path
    descriptor: int
    predecessor: Predecessor | None

    def register(self, executor: str) -> dict[str, str]:
        """Record that this process runs the folder; return the environment for its child processes.

        Parameters
        ----------
        executor
            Snakemake executor of the jobs: ``"local"``, ``"slurm"``, …
        """
        token = uuid.uuid4().hex
        me = {"pid": os.getpid(), "host": socket.gethostname(), "executor": executor, "token": token}
        text = (json.dumps(me) + "\n").encode()
        os.pwrite(self.descriptor, text, 0)
        os.ftruncate(self.descriptor, len(text))
        os.fsync(self.descriptor)
        os.set_inheritable(self.descriptor, True)
        return {**os.environ, FOLDER_VARIABLE: str(self.folder), TOKEN_VARIABLE: token}


def acquire(folder: Path) -> RunLock:
    """Lock a folder for a run of this process.

    Raises
    ------
    UsageError
        If a run of this folder is active, on this or another host.
    MissingResourceError
        If the folder cannot be written.
    """
    record = folder / RECORD
    try:
        record.parent.mkdir(exist_ok=True)
        descriptor = os.open(record, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise MissingResourceError(
            f"cannot write into {record.parent}: {error.strerror}", hint="run in a folder that you can write to"
        ) from None
    try:
        return RunLock(folder, descriptor, _predecessor(folder, descriptor))
    except BaseException:
        os.close(descriptor)
        raise


def _predecessor(folder: Path, descriptor: int) -> Predecessor | None:
    """Lock the record and return the last run of the folder, if it has ended."""
    if not _lock(descriptor):
        alive = _read(descriptor)
        where = "" if alive is None else f" (process {alive.pid} on {alive.host})"
        raise UsageError(f"a run of {folder} is already running{where}", hint="wait for it, or stop it")
    last = _read(descriptor)
    if last is not None and last.host != socket.gethostname() and not last.over:
        silent = _now((folder / RECORD).parent) - os.fstat(descriptor).st_mtime
        if silent < SILENCE_S:
            raise UsageError(
                f"a run of {folder} on {last.host} was active {max(silent, 0):.0f} s ago",
                hint=f"stop it there; if it was killed, wait {SILENCE_S - silent:.0f} s and start again",
            )
    return last


def keep_alive() -> None:
    """Renew the record of this run while its process lives, in a separate thread."""
    record = _record()
    if record is None:
        return  # Snakemake was started without `focus run`: nothing was locked.

    def beat() -> None:
        while True:
            with contextlib.suppress(OSError):
                os.utime(record)
            time.sleep(HEARTBEAT_S)

    threading.Thread(target=beat, name="focus-heartbeat", daemon=True).start()


def release() -> None:
    """Record that this run has ended, so that the next one needs no clean-up."""
    if (record := _record()) is not None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            stored = json.loads(record.read_text())
            if stored["token"] == os.environ[TOKEN_VARIABLE]:
                # In place: the lock is on this file.
                record.write_text(json.dumps(stored | {"over": True}) + "\n")


def _record() -> Path | None:
    folder, token = os.environ.get(FOLDER_VARIABLE), os.environ.get(TOKEN_VARIABLE)
    return Path(folder) / RECORD if folder and token else None


def _lock(descriptor: int) -> bool:
    """Whether the lock was acquired; waits for the lock of a process that is ending."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        except OSError:
            return True  # A file system without locks: only the record is used.
        else:
            return True


def _read(descriptor: int) -> Predecessor | None:
    try:
        stored = json.loads(os.pread(descriptor, 4096, 0))
        return Predecessor(
            int(stored["pid"]), str(stored["host"]), str(stored.get("executor", "local")), bool(stored.get("over"))
        )
    except (ValueError, KeyError, TypeError):
        return None


def _now(folder: Path) -> float:
    """The time by the clock of the file system, which may be another host's."""
    with tempfile.NamedTemporaryFile(dir=folder) as probe:
        return os.fstat(probe.fileno()).st_mtime

"""Whose turn it is in a folder: one run at a time, and a new one only where the last is dead.

A run holds a lock of the kernel (``flock``) on its record for as long as its process lives; however the process dies,
the lock goes with it. Some network file systems keep such locks to each host, so the record also tells where the run
is, and its time is renewed while the run lives: a run on another host is dead when nothing was heard of it for long.
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
    """The run that held the folder last, and that is dead."""

    pid: int
    host: str
    executor: str
    """What its jobs were given to, as Snakemake calls it."""
    over: bool
    """Whether it came to its end, with success or without, and left nothing at work."""


@dataclass(frozen=True)
class Claim:
    """The folder is this process's, and stays so when it becomes another program."""

    folder: Path
    descriptor: int
    predecessor: Predecessor | None

    def register(self, executor: str) -> dict[str, str]:
        """Write down that this process runs the folder; return the environment for all of its children.

        Parameters
        ----------
        executor
            What the jobs will be given to: ``"local"``, ``"slurm"``, …
        """
        token = uuid.uuid4().hex
        me = {"pid": os.getpid(), "host": socket.gethostname(), "executor": executor, "token": token}
        text = (json.dumps(me) + "\n").encode()
        os.pwrite(self.descriptor, text, 0)
        os.ftruncate(self.descriptor, len(text))
        os.fsync(self.descriptor)
        os.set_inheritable(self.descriptor, True)
        return {**os.environ, FOLDER_VARIABLE: str(self.folder), TOKEN_VARIABLE: token}


def claim(folder: Path) -> Claim:
    """Take a folder for a run of this process.

    Raises
    ------
    UsageError
        If a run of this folder is alive, here or on another host.
    MissingResourceError
        If the folder cannot be written.
    """
    record = folder / RECORD
    try:
        record.parent.mkdir(exist_ok=True)
        descriptor = os.open(record, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise MissingResourceError(
            f"cannot write into {record.parent}: {error.strerror}", hint="run in a folder of your own"
        ) from None
    try:
        return Claim(folder, descriptor, _predecessor(folder, descriptor))
    except BaseException:
        os.close(descriptor)
        raise


def _predecessor(folder: Path, descriptor: int) -> Predecessor | None:
    """Lock the record; who held the folder before, if that one is dead."""
    if not _lock(descriptor):
        alive = _read(descriptor)
        where = "" if alive is None else f" (process {alive.pid} on {alive.host})"
        raise UsageError(f"a run of {folder} is at work already{where}", hint="wait for it, or stop it")
    last = _read(descriptor)
    if last is not None and last.host != socket.gethostname() and not last.over:
        silent = _now((folder / RECORD).parent) - os.fstat(descriptor).st_mtime
        if silent < SILENCE_S:
            raise UsageError(
                f"a run of {folder} on {last.host} was alive {max(silent, 0):.0f} s ago",
                hint=f"stop it there; if it is dead, wait {SILENCE_S - silent:.0f} s and start again",
            )
    return last


def keep_alive() -> None:
    """Renew the record of this run for as long as its process lives, in a thread of its own."""
    record = _record()
    if record is None:
        return  # Snakemake was started without `focus run`: nothing was claimed.

    def beat() -> None:
        while True:
            with contextlib.suppress(OSError):
                os.utime(record)
            time.sleep(HEARTBEAT_S)

    threading.Thread(target=beat, name="focus-heartbeat", daemon=True).start()


def release() -> None:
    """Write down that this run came to its end: there is nothing that the next one has to clear away."""
    if (record := _record()) is not None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            told = json.loads(record.read_text())
            if told["token"] == os.environ[TOKEN_VARIABLE]:
                # In place: the lock is on this very file.
                record.write_text(json.dumps(told | {"over": True}) + "\n")


def _record() -> Path | None:
    folder, token = os.environ.get(FOLDER_VARIABLE), os.environ.get(TOKEN_VARIABLE)
    return Path(folder) / RECORD if folder and token else None


def _lock(descriptor: int) -> bool:
    """Whether the lock could be had; one that a dying process still holds is waited for."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        except OSError:
            return True  # A file system without locks: the record alone must do.
        else:
            return True


def _read(descriptor: int) -> Predecessor | None:
    try:
        told = json.loads(os.pread(descriptor, 4096, 0))
        return Predecessor(
            int(told["pid"]), str(told["host"]), str(told.get("executor", "local")), bool(told.get("over"))
        )
    except (ValueError, KeyError, TypeError):
        return None


def _now(folder: Path) -> float:
    """The time by the clock of the file system, which may be another host's."""
    with tempfile.NamedTemporaryFile(dir=folder) as probe:
        return os.fstat(probe.fileno()).st_mtime

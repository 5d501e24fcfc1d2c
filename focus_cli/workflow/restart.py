"""Starting again after a run was killed: nothing of the old run may write beside the new one.

Snakemake that dies by SIGKILL leaves its lock and its jobs behind: the jobs go on, and would write the same
outputs as the jobs of the next run. `settle` ends what is left of a dead run of the same folder, here and on
Slurm, and opens the lock. It never touches a run that is alive.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from focus_cli.errors import MissingResourceError, UsageError
from focus_cli.progress import say

# Every process of a run carries the run's folder in its environment, and so can be found again.
MARK = "FOCUS_RUN"
_RECORD = Path(".snakemake") / "focus-run.json"
_LOCKS = Path(".snakemake") / "locks"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\.\w+)*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PATIENCE_S = 30.0


def settle(folder: Path, unlock: Sequence[str]) -> None:
    """End what is left of a killed run of `folder`, so that a new one can start.

    Parameters
    ----------
    folder
        The working directory of the run.
    unlock
        The command that opens Snakemake's lock.

    Raises
    ------
    UsageError
        If a run of this folder is alive, here or perhaps on another host.
    """
    record = folder / _RECORD
    if not record.is_file():
        return
    try:
        last = json.loads(record.read_text())
        pid, born, host = int(last["pid"]), float(last["born"]), str(last["host"])
    except (ValueError, KeyError, TypeError):
        record.unlink()
        return
    locked = any((folder / _LOCKS).glob("*"))
    if host != socket.gethostname():
        if locked:
            raise UsageError(
                f"a run of {folder} was started on {host} and may be alive there",
                hint=f"if it is not, remove {_RECORD} and run again with --unlock first",
            )
        return
    if _is_alive(pid, born):
        raise UsageError(
            f"a run of {folder} is at work already (process {pid})",
            hint="wait for it, or stop it",
        )
    _end_orphans(folder)
    _cancel_slurm_jobs(folder)
    if locked:
        say("the last run was killed: opening its lock")
        subprocess.run(unlock, cwd=folder, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    record.unlink(missing_ok=True)


def register(folder: Path) -> dict[str, str]:
    """Write down that this process runs `folder`; return the environment for all of its children."""
    import psutil

    record = folder / _RECORD
    record.parent.mkdir(exist_ok=True)
    me = psutil.Process()
    record.write_text(json.dumps({"pid": me.pid, "born": me.create_time(), "host": socket.gethostname()}) + "\n")
    return {**os.environ, MARK: str(folder)}


def _is_alive(pid: int, born: float) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - born) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end_orphans(folder: Path) -> None:
    """Terminate the jobs that outlived their Snakemake on this machine."""
    import psutil

    mine = {p.pid for p in psutil.Process().parents()} | {os.getpid()}
    orphans = []
    for process in psutil.process_iter():
        try:
            if process.pid not in mine and process.environ().get(MARK) == str(folder):
                orphans.append(process)
        except (psutil.Error, OSError):  # another user's, or gone
            continue
    if not orphans:
        return
    say(f"the last run was killed: ending {len(orphans)} of its processes that go on")
    for process in orphans:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, stubborn = psutil.wait_procs(orphans, timeout=10)
    for process in stubborn:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(stubborn, timeout=10)


def _slurm_jobs(folder: Path) -> list[str]:
    # The executor names a job by the run's UUID and starts it in the run's folder.
    listed = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i|%j|%Z"], capture_output=True, text=True, timeout=30
    )
    jobs = []
    for line in listed.stdout.splitlines():
        job, _, rest = line.partition("|")
        name, _, where = rest.partition("|")
        if _UUID.search(name) and Path(where.strip()) == folder:
            jobs.append(job.strip())
    return jobs


def _cancel_slurm_jobs(folder: Path) -> None:
    """Cancel the Slurm jobs that outlived their Snakemake, and wait until they are gone."""
    if not shutil.which("squeue"):
        return
    try:
        jobs = _slurm_jobs(folder)
        if not jobs:
            return
        say(f"the last run was killed: cancelling {len(jobs)} of its Slurm jobs that go on")
        subprocess.run(["scancel", *jobs], check=False, timeout=30)
        end = time.monotonic() + _PATIENCE_S
        while _slurm_jobs(folder):
            if time.monotonic() > end:
                raise MissingResourceError(
                    f"Slurm jobs of the last run do not end: {', '.join(jobs)}",
                    hint="scancel them",
                )
            time.sleep(1)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingResourceError(f"Slurm does not answer: {error}", hint="try squeue --me") from None


def sweep(out: Path | str) -> int:
    """Remove the temporary files that killed jobs left in `out`; return how many there were.

    Only while no job runs: a job that is alive writes into such a file.
    """
    removed = 0
    for parent, folders, files in os.walk(out):
        for name in [n for n in folders if _TEMPORARY.fullmatch(n)]:
            shutil.rmtree(Path(parent) / name, ignore_errors=True)
            folders.remove(name)
            removed += 1
        for name in files:
            if _TEMPORARY.fullmatch(name):
                (Path(parent) / name).unlink(missing_ok=True)
                removed += 1
    return removed

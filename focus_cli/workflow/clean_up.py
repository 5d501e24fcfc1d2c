"""Clean-up after a killed run: its local and Slurm jobs, Snakemake's lock, partially written files.

Snakemake that dies by SIGKILL leaves its jobs running; they would write the outputs of the next run's jobs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from focus_cli.core.errors import MissingResourceError
from focus_cli.core.progress import print_message
from focus_cli.core.storage.fencing import FOLDER_VARIABLE

_LOCKS = Path(".snakemake") / "locks"
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8}|[0-9a-f]{8}-[0-9a-f]{8}-\w+-\w+-[0-9a-f]{4})\.tmp(\.\w+)*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PATIENCE_S = 60.0


def clean_up(folder: Path, executor: str, unlock: Sequence[str]) -> None:
    """End the jobs of a killed run of `folder` and remove its lock.

    Parameters
    ----------
    folder
        The working directory of the run; locked by this process.
    executor
        Snakemake executor of the killed run: ``"local"``, ``"slurm"``, …
    unlock
        The command that opens Snakemake's lock.

    Raises
    ------
    MissingResourceError
        If Slurm does not respond, or a job does not end.
    """
    if executor == "slurm":
        _cancel_slurm_jobs(folder)
    elif executor != "local":
        print_message(f"the last run was killed: cancel its jobs on {executor} manually; remaining jobs write nothing")
    _end_processes(folder)
    if any((folder / _LOCKS).glob("*")):
        print_message("the last run was killed: removing its lock")
        subprocess.run(unlock, cwd=folder, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _end_processes(folder: Path) -> None:
    """Terminate the jobs that outlived their Snakemake on this machine."""
    import psutil

    own = {p.pid for p in psutil.Process().parents()} | {os.getpid()}
    orphans = []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and process.environ().get(FOLDER_VARIABLE) == str(folder):
                orphans.append(process)
        except (psutil.Error, OSError):  # another user's, or gone
            continue
    if not orphans:
        return
    print_message(f"the last run was killed: ending {len(orphans)} of its remaining processes")
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


def slurm_jobs(folder: Path) -> list[str]:
    """Slurm's ids of the jobs that a Snakemake of this user started in `folder` and that are not over.

    Raises
    ------
    OSError, subprocess.SubprocessError
        If Slurm does not respond.
    """
    # The executor names a job by the run's UUID and starts it in the run's folder.
    listed = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i|%j|%Z"], capture_output=True, text=True, timeout=60, check=True
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
    try:
        jobs = slurm_jobs(folder)
        if not jobs:
            return
        print_message(f"the last run was killed: cancelling {len(jobs)} of its remaining Slurm jobs")
        subprocess.run(["scancel", *jobs], check=False, timeout=60)
        end = time.monotonic() + _PATIENCE_S
        while left := slurm_jobs(folder):
            if time.monotonic() > end:
                raise MissingResourceError(
                    f"Slurm jobs of the last run do not end: {', '.join(left)}",
                    hint="scancel them; is their node down?",
                )
            time.sleep(1)
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingResourceError(
            f"Slurm does not respond: {error}",
            hint="jobs of the last run may be running: try squeue --me, and start again when it responds",
        ) from None


def sweep(out: Path | str) -> int:
    """Remove the temporary files of killed jobs in `out`; return their number.

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

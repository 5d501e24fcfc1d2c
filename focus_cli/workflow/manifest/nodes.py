"""Where a job ran: its scheduler's number and its node, written down by the job itself.

On a cluster every job is a separate Snakemake that reads the Snakefile on its node; that is where it leaves its note.
The outputs of a job hold neither clock nor host, so that the same run gives the same bytes wherever it runs.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from focus_cli.core.errors import FocusError
from focus_cli.core.storage import atomic_file
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.kinds import PART
from focus_cli.workflow.manifest.events import job_name, now

RUNS = "runs"
_NODES = "nodes"
# Scheduler → the variable by which its jobs are known, in the order in which they are looked at.
_SCHEDULERS = (
    ("slurm", "SLURM_JOB_ID"),
    ("lsf", "LSB_JOBID"),
    ("sge", "JOB_ID"),
    ("pbs", "PBS_JOBID"),
    ("htcondor", "_CONDOR_JOB_AD"),
    ("kubernetes", "KUBERNETES_SERVICE_HOST"),
)
_CONDOR_IDS = re.compile(r"^(ClusterId|ProcId)\s*=\s*(\d+)", re.MULTILINE)
# Slurm restarts a job under the same id when a node fails; the restart count distinguishes them.
_AGAIN = "SLURM_RESTART_COUNT"


def allocation(environment: Mapping[str, str]) -> dict[str, str] | None:
    """The scheduler and its number of the job that this process belongs to; None outside of any.

    A pod of Kubernetes has a name in place of a number.
    """
    for scheduler, variable in _SCHEDULERS:
        if value := environment.get(variable):
            number = {"kubernetes": _pod, "htcondor": _condor}.get(scheduler, str)(value)
            again = environment.get(_AGAIN, "") if scheduler == "slurm" else ""
            return {"scheduler": scheduler, "id": number} | ({"restart": again} if again not in ("", "0") else {})
    return None


def _pod(_: str) -> str:
    return socket.gethostname()


def _condor(job_ad: str) -> str:
    try:
        ids = dict(_CONDOR_IDS.findall(Path(job_ad).read_text(errors="replace")))
    except OSError:
        ids = {}
    return f"{ids.get('ClusterId', 'unknown')}.{ids.get('ProcId', '0')}"


def targets(words: Sequence[str]) -> list[str]:
    """Names of the jobs that a Snakemake process of one job runs: what follows ``--target-jobs`` on its command line.

    The workflow object does not know them yet while it reads the Snakefile.
    """
    if "--target-jobs" not in words:
        return []
    given = itertools.takewhile(lambda word: not word.startswith("-"), words[words.index("--target-jobs") + 1 :])
    found = []
    for spec in given:
        rule, _, wildcards = spec.partition(":")
        pairs = (pair.partition("=") for pair in wildcards.split(",") if pair)
        found.append(job_name(rule, {key: value.strip('"') for key, _, value in pairs}))
    return sorted(found)


def write_note(out: Path | str) -> None:
    """Write ``runs/nodes/SCHEDULER-NUMBER.json`` with the jobs of the workflow that run here, the host and the start.

    Parameters
    ----------
    out
        The results folder.
    """
    mine, jobs = allocation(os.environ), targets(sys.argv)
    if mine is None or not jobs:
        return
    name = "-".join(mine.values()).replace("/", "_")
    path = Path(out) / RUNS / _NODES / f"{name}.json"
    if path.exists():  # the inner one of two Snakemakes of the same job
        return
    note = mine | {"host": socket.gethostname(), "started": now(), "jobs": jobs}
    if devices := os.environ.get("CUDA_VISIBLE_DEVICES"):
        note["gpus"] = devices
    with atomic_file(path, kind=PART) as temporary:
        temporary.write_text(json.dumps(note, sort_keys=True) + "\n")


def read_notes(out: Path | str) -> list[tuple[Path, dict[str, Any]]]:
    """Every note of a results folder that can be read, the oldest first."""
    notes = []
    for path in sorted((Path(out) / RUNS / _NODES).glob("*.json")):
        try:
            note = read_json_object(path)
        except FocusError:
            continue
        if isinstance(note, dict) and isinstance(note.get("jobs"), list):
            notes.append((path, note))
    return sorted(notes, key=lambda pair: str(pair[1].get("started", "")))


def place(jobs: list[dict[str, Any]], notes: list[tuple[Path, dict[str, Any]]]) -> list[Path]:
    """Add to every job its ``allocations`` (scheduler, id, host, started) from the notes; return the notes used."""
    used = []
    by_name = {job["name"]: job for job in jobs}
    for path, note in notes:
        allocation = {key: value for key, value in note.items() if key != "jobs"}
        mine = [by_name[name] for name in note["jobs"] if name in by_name]
        for job in mine:
            job.setdefault("allocations", []).append(allocation)
        if mine:
            used.append(path)
    return used

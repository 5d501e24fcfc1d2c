"""How often a failed job is tried again: a mistake never, a training that was preempted as often as it takes.

Snakemake counts retries by rule and makes no difference between a mistake, a fault and a time limit. Within the
workflow the last line of a failed verb's log is its exit code, which distinguishes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from focus_cli.core.errors import (
    EXIT_BAD_INPUT,
    EXIT_CODE_LINE,
    EXIT_MISSING,
    EXIT_OUTPUT_EXISTS,
    EXIT_PREEMPTED,
    EXIT_USAGE,
    JOB_VARIABLE,
)

# What is missing may come, once: a file that is late, memory that grows with the attempt.
_WORTH = {EXIT_USAGE: 0, EXIT_BAD_INPUT: 0, EXIT_OUTPUT_EXISTS: 0, EXIT_MISSING: 1}
# A job that stopped at its time limit has saved its state: only a fault, and not the limit, uses up its retries.
_CONTINUATIONS = 1000
_TAIL = 4096

_continued: dict[str, set[int]] = {}


def worth_retrying(logs: Iterable[Path | str], most: int) -> int:
    """How often a job may be tried again by the logs of the last try; `most` where they hold nothing."""
    codes = [exit_code(Path(log)) for log in logs]
    if EXIT_PREEMPTED in codes:
        return most + _CONTINUATIONS if most else 0
    return min([most, *(_WORTH.get(code, most) for code in codes)])


def failures(log: str, attempt: int) -> int:
    """Which try a job is at, not counting those that were only preempted: what memory and time grow by."""
    return attempt - len(_continued.get(log, ()))


def look_before_retrying() -> None:
    """Let Snakemake call `worth_retrying` before it tries a job again, and let verbs write their exit code.

    Snakemake has no such option: the property that its scheduler reads is replaced.
    """
    from snakemake.jobs import GroupJob, Job

    os.environ[JOB_VARIABLE] = "1"
    Job.restart_times = property(_retries_of)
    # Of a group the job that failed decides; the logs of the others say nothing.
    GroupJob.restart_times = property(lambda group: min(job.restart_times for job in group))


def _retries_of(job) -> int:
    for log in job.log:
        if exit_code(Path(log)) == EXIT_PREEMPTED:
            _continued.setdefault(str(log), set()).add(job.attempt)
    retries = worth_retrying(job.log, job.rule.restart_times)
    return retries + max((len(_continued.get(str(log), ())) for log in job.log), default=0) if retries else 0


def exit_code(log: Path) -> int | None:
    """The code in the last line of a failed command's log; None where there is none."""
    try:
        with open(log, "rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(stream.tell() - _TAIL, 0))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    if not lines or not lines[-1].startswith(EXIT_CODE_LINE):
        return None
    code = lines[-1].removeprefix(EXIT_CODE_LINE).strip()
    return int(code) if code.isdigit() else None

"""Status of each sample of a cohort, and why one is not done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from focus_cli.reporting.cohort.jobs import CohortJobs, Job, SampleJobs, last_words

DONE, FAILED, RUNNING, WAITING, UNFINISHED, NOT_STARTED = (
    "done", "failed", "running", "waiting", "unfinished", "not started",
)  # fmt: skip
SILENT = "its log is empty: killed, out of memory or out of time?"


@dataclass(frozen=True)
class Status:
    """Status of a sample.

    Attributes
    ----------
    word
        done, failed, running, waiting (for a failed job of another sample), unfinished, not started.
    rule
        Failed or running job.
    message
        Reason, from the log.
    log
        Path of the log, relative to the output folder.
    """

    word: str
    rule: str = ""
    message: str = ""
    log: str = ""


def statuses(cohort: CohortJobs, out: Path, *, running: bool) -> dict[str, Status]:
    """Status of every sample, by the files of its jobs.

    Parameters
    ----------
    cohort
        The jobs of the run.
    out
        Its output folder.
    running
        Whether the run is running: a job with a log and no result may then be running or failed.
    """
    own = {sample.sample: _first_stop(sample.jobs, out, running) for sample in cohort.samples}
    references = _first_stop(cohort.references, out, running)
    shared: dict[str, Status] = {}
    for model, job in cohort.models.items():
        stop = _first_stop([job], out, running) or references
        if stop is None and not job.done(out):
            stop = _waits_for(cohort.training[model], own)
        if stop is not None:
            shared[model] = stop
    return {
        sample.sample: own[sample.sample] or _of_sample(sample, out, shared.get(sample.model))
        for sample in cohort.samples
    }


def _of_sample(sample: SampleJobs, out: Path, model: Status | None) -> Status:
    """The status of a sample of which no job stopped."""
    done = [job.done(out) for job in sample.jobs]
    if all(done):
        return Status(DONE)
    if model is not None and model.word != DONE:
        return model
    return Status(UNFINISHED if any(done) else NOT_STARTED)


def _first_stop(jobs: Iterable[Job], out: Path, running: bool) -> Status | None:
    """The first job that has a log and no result: it failed, or is running."""
    for job in jobs:
        log = job.log(out)
        if job.done(out) or not log.exists():
            continue
        last = last_words(log)
        where = {"rule": job.rule, "log": str(log.relative_to(out))}
        if running and not last.startswith("error"):
            return Status(RUNNING, message=last, **where)
        return Status(FAILED, message=last or SILENT, **where)
    return None


def _waits_for(training: Iterable[str], own: dict[str, Status | None]) -> Status | None:
    """Status of a model that cannot be trained because one of its samples failed."""
    failed = [name for name in training if (stop := own[name]) is not None and stop.word == FAILED]
    if not failed:
        return None
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return Status(WAITING, "train", f"its model waits for {failed[0]}{more}: failed at {own[failed[0]].rule}")

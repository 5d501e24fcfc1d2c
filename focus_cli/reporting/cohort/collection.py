"""The rows of a cohort's page, collected from the files of its run: one per sample, whatever became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.progress import track
from focus_cli.core.storage.documents import read_json_object
from focus_cli.reporting.cohort.analyses import CohortAnalyses
from focus_cli.reporting.cohort.facts import cost_of, facts_of_enhanced, facts_of_sample, scores_of
from focus_cli.reporting.cohort.jobs import CohortJobs, Job, SampleJobs, from_json
from focus_cli.reporting.cohort.page import write_page, write_table
from focus_cli.reporting.cohort.rows import CohortRow, SharedJob
from focus_cli.reporting.cohort.status import Status, statuses

RECORD = "cohort.json"
PAGE = "cohort.html"
TABLE = "cohort.tsv"


def write_cohort(out: Path, *, running: bool | None = None) -> list[Path]:
    """Write ``cohort.html`` and ``cohort.tsv`` of a run.

    Parameters
    ----------
    out
        The run's output folder.
    running
        Whether the run is running; by Snakemake's lock where not given.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    MissingResourceError
        If no run was started there.
    BadInputError
        If the record of the run is damaged.
    """
    out = Path(out)
    try:
        if not (out / RECORD).exists():
            raise MissingResourceError(f"no run was started in {out}: {RECORD} is missing", hint="focus run")
        record = read_json_object(out / RECORD)
        cohort, folder = from_json(record), Path(record["folder"])
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        raise BadInputError(f"{out / RECORD} is damaged", hint="start focus run again, which writes it anew") from None
    if running is None:
        running = any((folder / ".snakemake" / "locks").glob("*"))
    status = statuses(cohort, out, running=running)
    analyses = CohortAnalyses(out)
    rows = [_row(sample, status[sample.sample], out, analyses) for sample in track(cohort.samples, "cohort")]
    shared = _shared(cohort, out)
    write_table(rows, out / TABLE)
    together = cohort.report if cohort.report and (out / cohort.report).exists() else ""
    write_page(rows, shared, out / PAGE, together=together)
    return [out / PAGE, out / TABLE]


def _row(sample: SampleJobs, status: Status, out: Path, analyses: CohortAnalyses) -> CohortRow:
    stored, enhanced, report = (out / f"{part}" for part in _paths(sample))
    facts: dict[str, Any] = facts_of_sample(stored) | facts_of_enhanced(enhanced)
    found = analyses.of(sample.sample, sample.jobs)
    cost = cost_of(sample.jobs, out)
    return CohortRow(
        sample=sample.sample,
        status=status.word,
        rule=status.rule,
        message=status.message,
        log=status.log,
        platform=facts.get("platform", sample.row.get("platform", "")),
        organ=sample.row.get("organ", ""),
        donor=sample.row.get("donor", ""),
        group=sample.row.get("group", ""),
        split=sample.row.get("split", ""),
        model=sample.model,
        locations=facts.get("locations"),
        genes=facts.get("genes"),
        median_counts=facts.get("median_counts"),
        median_reliability=facts.get("median_reliability"),
        abstained=facts.get("abstained"),
        warnings=(*facts.get("warnings", ()), *found.warnings),
        scores=tuple(scores_of(out, sample.sample, sample.scores)),
        analyses=found,
        seconds=cost[0] if cost else None,
        memory_mb=cost[1] if cost else None,
        report=str(report.relative_to(out)) if report.exists() else "",
        enhanced=str(enhanced.relative_to(out)) if enhanced.exists() else "",
    )


def _paths(sample: SampleJobs) -> tuple[str, str, str]:
    """Stored sample, enhanced file and report, relative to the output folder."""
    first = {job.rule: job.outputs[0] for job in sample.jobs}
    return first["preprocess"], first["enhance"], first["report"]


def _shared(cohort: CohortJobs, out: Path) -> list[SharedJob]:
    """References and models, with their use, time and memory."""

    def shared_job(job: Job, what: str) -> SharedJob:
        measured = job.measured(out)
        seconds, memory = measured if measured and job.done(out) else (None, None)
        return SharedJob(job.rule, job.name, what, job.done(out), seconds, memory)

    models = [
        shared_job(job, f"{len(cohort.training[name])} training samples, "
             f"{sum(sample.model == name for sample in cohort.samples)} enhanced")
        for name, job in cohort.models.items()
    ]  # fmt: skip
    return [shared_job(job, "single cells") for job in cohort.references] + models

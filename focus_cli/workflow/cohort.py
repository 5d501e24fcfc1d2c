"""The report of a cohort: one row per sample, whatever became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.progress import say, track
from focus_cli.core.storage import atomic_file
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.kinds import PART
from focus_cli.reporting.cohort.analyses import CohortAnswers
from focus_cli.reporting.cohort.facts import cost_of, facts_of_enhanced, facts_of_sample, scores_of
from focus_cli.reporting.cohort.jobs import CohortJobs, Job, SampleJobs, as_json, cohort_jobs, from_json
from focus_cli.reporting.cohort.status import Status, statuses
from focus_cli.workflow.plan import Plan

# Every job of a run reads this file with the Snakefile; only the report itself needs the room of reports.
if TYPE_CHECKING:
    from focus_cli.reporting.cohort.page import CohortRow, SharedJob

RECORD = "cohort.json"
PAGE = "cohort.html"
TABLE = "cohort.tsv"


def record_cohort(plan: Plan) -> None:
    """Write down what a run consists of, so that `write_cohort` can say at any time how far it is."""
    record = {"folder": str(Path.cwd()), **as_json(cohort_jobs(plan))}
    with atomic_file(Path(plan.out) / RECORD, overwrite=True, kind=PART) as temporary:
        temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")


def write_cohort(out: Path, *, running: bool | None = None) -> list[Path]:
    """Write ``cohort.html`` and ``cohort.tsv`` of a run.

    Parameters
    ----------
    out
        The run's output folder.
    running
        Whether the run is at work; by Snakemake's lock where not given.

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
    from focus_cli.reporting.cohort.page import write_page, write_table

    out = Path(out)
    try:
        if not (out / RECORD).exists():
            raise MissingResourceError(f"no run was started in {out}: {RECORD} is missing", hint="focus run")
        said = read_json_object(out / RECORD)
        cohort, folder = from_json(said), Path(said["folder"])
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        raise BadInputError(f"{out / RECORD} is damaged", hint="start focus run again, which writes it anew") from None
    if running is None:
        running = any((folder / ".snakemake" / "locks").glob("*"))
    status = statuses(cohort, out, running=running)
    answers = CohortAnswers(out)
    rows = [_row(sample, status[sample.sample], out, answers) for sample in track(cohort.samples, "cohort")]
    shared = _shared(cohort, out)
    write_table(rows, out / TABLE)
    together = cohort.report if cohort.report and (out / cohort.report).exists() else ""
    write_page(rows, shared, out / PAGE, together=together)
    return [out / PAGE, out / TABLE]


def begin_cohort(plan: Plan) -> None:
    """`record_cohort` at the start of a run; what goes wrong here is said and stops nothing."""
    try:
        record_cohort(plan)
    except Exception as error:  # a page is no reason to lose a run
        say(f"the cohort could not be recorded: {error}")


def report_cohort(plan: Plan) -> None:
    """Write the report at the end of a run, good or bad; what goes wrong here is said and stops nothing."""
    try:
        record_cohort(plan)
        page, _ = write_cohort(Path(plan.out), running=False)
        say(f"cohort: {page}")
    except Exception as error:  # the run is over: its results must not be called failed for a page
        say(f"the cohort's report could not be written: {error}")


def _row(sample: SampleJobs, status: Status, out: Path, answers: CohortAnswers) -> CohortRow:
    from focus_cli.reporting.cohort.page import CohortRow

    stored, enhanced, report = (out / f"{part}" for part in _paths(sample))
    facts: dict[str, Any] = facts_of_sample(stored) | facts_of_enhanced(enhanced)
    found = answers.of(sample.sample, sample.jobs)
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
        median_molecules=facts.get("median_molecules"),
        median_reliability=facts.get("median_reliability"),
        abstained=facts.get("abstained"),
        warnings=(*facts.get("warnings", ()), *found.warnings),
        scores=tuple(scores_of(out, sample.sample, sample.scores)),
        answers=found,
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
    """References and models: what they serve, and what they took."""
    from focus_cli.reporting.cohort.page import SharedJob

    def told(job: Job, what: str) -> SharedJob:
        measured = job.measured(out)
        seconds, memory = measured if measured and job.done(out) else (None, None)
        return SharedJob(job.rule, job.name, what, job.done(out), seconds, memory)

    models = [
        told(job, f"{len(cohort.training[name])} training samples, "
             f"{sum(sample.model == name for sample in cohort.samples)} enhanced")
        for name, job in cohort.models.items()
    ]  # fmt: skip
    return [told(job, "single cells") for job in cohort.references] + models

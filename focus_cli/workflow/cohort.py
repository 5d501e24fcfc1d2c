"""Record of the cohort of a run, and its report at the end of the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from focus_cli.core.progress import print_message
from focus_cli.core.storage import atomic_file
from focus_cli.core.storage.kinds import PART
from focus_cli.reporting.cohort import RECORD, CohortJobs, Job, SampleJobs, as_json, write_cohort
from focus_cli.workflow.plan import Plan


def record_cohort(plan: Plan) -> None:
    """Record the jobs of a run, from which `write_cohort` reports its status at any time."""
    record = {"folder": str(Path.cwd()), **as_json(cohort_jobs(plan))}
    with atomic_file(Path(plan.out) / RECORD, overwrite=True, kind=PART) as temporary:
        temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")


def begin_cohort(plan: Plan) -> None:
    """Call `record_cohort` at the start of a run; errors are printed and do not stop the run."""
    try:
        record_cohort(plan)
    except Exception as error:  # a page is no reason to lose a run
        print_message(f"the cohort could not be recorded: {error}")


def report_cohort(plan: Plan) -> None:
    """Write the report at the end of a run, successful or not; errors are printed and do not stop the run."""
    try:
        record_cohort(plan)
        page, _ = write_cohort(Path(plan.out), running=False)
        print_message(f"cohort: {page}")
    except Exception as error:  # the run is over: its results must not be called failed for a page
        print_message(f"the cohort's report could not be written: {error}")


def cohort_jobs(plan: Plan) -> CohortJobs:
    """The jobs of a plan; paths are relative to its output folder."""

    def job(rule: str, name: str, *paths: str) -> Job:
        return Job(rule, name, tuple(path.removeprefix(f"{plan.out}/") for path in paths))

    def jobs_of(sample: str) -> Iterator[Job]:
        yield job("preprocess", sample, plan.sample(sample))
        if plan.config.train.corpus and plan.samples[sample].split == "train":
            yield job("pack", sample, plan.corpus(sample))
        yield job("enhance", sample, plan.enhanced(sample), *plan.refined(sample))
        for fold in plan.folds_of(sample):
            parts = ("observed", "truth.h5ad", "genes.txt")
            yield job("hold_out", fold, *(plan.fold_file(fold, part) for part in parts))
            if plan.folds[fold].own_model:
                yield job("train_fold", fold, plan.model_of_fold(fold))
            refines = plan.folds[fold].task == "refine"
            yield job("refine_fold" if refines else "enhance_fold", fold, plan.scored_file_of(fold))
            yield job("score_fold", fold, plan.scores_of_fold(fold))
        for folder in plan.scores_of(sample)[len(plan.folds_of(sample)) :]:
            yield job("score_" + folder.rsplit(".", 1)[1], sample, folder)
        for rule, name, paths in plan.analyses.jobs_of(sample):
            yield job(rule, name, *paths)
        yield job("report", sample, plan.report(sample))

    return CohortJobs(
        samples=tuple(
            SampleJobs(
                name,
                row.model_dump(include={"platform", "organ", "species", "donor", "group", "split"}, exclude_none=True),
                plan.model_of(name).rsplit("/", 1)[1],
                tuple(jobs_of(name)),
                tuple(folder.removeprefix(f"{plan.out}/") for folder in plan.scores_of(name)),
            )
            for name, row in plan.samples.items()
        ),
        models={name: job("train", name, plan.model(name)) for name in plan.models},
        training=plan.models,
        references=tuple(job("reference", name, plan.reference(name)) for name in plan.references),
        report=plan.report_of_all.removeprefix(f"{plan.out}/") if plan.config.report.together else "",
    )

"""The jobs of a cohort by sample, and what the files of a run say of each: done, failed, at work, not yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from focus_cli.core.errors import EXIT_CODE_LINE
from focus_cli.reporting.cohort.measurements import read_benchmark
from focus_cli.workflow.plan import Plan

_LOG_TAIL = 16_384
_SAID = re.compile(r"^focus: ")
_ERROR = re.compile(r"error|killed|exception", flags=re.IGNORECASE)


@dataclass(frozen=True)
class Job:
    """One job of a run.

    Attributes
    ----------
    rule, name
        Its log is ``logs/RULE/NAME.log``, its measurements ``benchmarks/RULE/NAME.tsv``.
    outputs
        What it makes, relative to the output folder.
    """

    rule: str
    name: str
    outputs: tuple[str, ...]

    def done(self, out: Path) -> bool:
        """Whether everything that it makes is there."""
        return all((out / path).exists() for path in self.outputs)

    def log(self, out: Path) -> Path:
        """What it said."""
        return out / "logs" / self.rule / f"{self.name}.log"

    def measured(self, out: Path) -> tuple[float, float | None] | None:
        """Seconds and peak memory in MB, as far as Snakemake measured them."""
        told = read_benchmark(out / "benchmarks" / self.rule / f"{self.name}.tsv")
        return (told["seconds"], told.get("max_memory_mb")) if told else None


@dataclass(frozen=True)
class SampleJobs:
    """One sample: its line of the sheet, and what is done for it alone."""

    sample: str
    row: dict[str, Any]
    model: str
    jobs: tuple[Job, ...]
    scores: tuple[str, ...]


@dataclass(frozen=True)
class CohortJobs:
    """A whole run: samples, and the jobs that samples share.

    Attributes
    ----------
    samples
        In the order of the sheet.
    models
        Name → the job that trains it.
    training
        Name of a model → the samples that it learns from.
    references
        The jobs that make references.
    report
        The page with the reports of all samples; empty where the run makes none.
    """

    samples: tuple[SampleJobs, ...]
    models: dict[str, Job] = field(default_factory=dict)
    training: dict[str, tuple[str, ...]] = field(default_factory=dict)
    references: tuple[Job, ...] = ()
    report: str = ""


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
        for rule, name, paths in plan.answers.jobs_of(sample):
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


def as_json(cohort: CohortJobs) -> dict[str, Any]:
    """A cohort as plain values, for a file."""
    return {
        "samples": [
            {**vars(sample), "jobs": [[job.rule, job.name, job.outputs] for job in sample.jobs]}
            for sample in cohort.samples
        ],
        "models": [[job.rule, job.name, job.outputs, cohort.training[name]] for name, job in cohort.models.items()],
        "references": [[job.rule, job.name, job.outputs] for job in cohort.references],
        "report": cohort.report,
    }


def from_json(said: dict[str, Any]) -> CohortJobs:
    """The cohort of `as_json`.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is none.
    """

    def job(rule: str, name: str, outputs: list[str]) -> Job:
        return Job(rule, name, tuple(outputs))

    return CohortJobs(
        samples=tuple(
            SampleJobs(
                sample["sample"],
                dict(sample["row"]),
                sample["model"],
                tuple(job(*told) for told in sample["jobs"]),
                tuple(sample["scores"]),
            )
            for sample in said["samples"]
        ),
        models={told[1]: job(*told[:3]) for told in said["models"]},
        training={told[1]: tuple(told[3]) for told in said["models"]},
        references=tuple(job(*told) for told in said["references"]),
        report=str(said.get("report", "")),  # records of earlier versions do not say it
    )


def last_words(log: Path) -> str:
    """The line of a log that says why a job failed: what FOCUS said last, else the last error, else the last line."""
    try:
        with open(log, "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _LOG_TAIL))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    lines = [line for line in lines if not line.startswith(EXIT_CODE_LINE)]
    for wanted in (_SAID, _ERROR):
        if found := next((line for line in reversed(lines) if wanted.search(line)), None):
            return found.removeprefix("focus: ")
    return lines[-1] if lines else ""

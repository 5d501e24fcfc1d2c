"""The jobs of a cohort by sample, and their state from the files of a run: done, failed, running, not started."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from focus_cli.core.errors import EXIT_CODE_LINE
from focus_cli.reporting.cohort.measurements import read_benchmark

# Rules whose jobs work for all samples of a model.
SHARED_RULES = ("domains", "fit_annotations", "fit_outcome", "outcome")
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
        """Path of its log, relative to the output folder."""
        return out / "logs" / self.rule / f"{self.name}.log"

    def measured(self, out: Path) -> tuple[float, float | None] | None:
        """Seconds and peak memory in MB, as far as Snakemake measured them."""
        measured = read_benchmark(out / "benchmarks" / self.rule / f"{self.name}.tsv")
        return (measured["seconds"], measured.get("max_memory_mb")) if measured else None


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


def from_json(record: dict[str, Any]) -> CohortJobs:
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
                tuple(job(*fields) for fields in sample["jobs"]),
                tuple(sample["scores"]),
            )
            for sample in record["samples"]
        ),
        models={model[1]: job(*model[:3]) for model in record["models"]},
        training={model[1]: tuple(model[3]) for model in record["models"]},
        references=tuple(job(*fields) for fields in record["references"]),
        report=str(record.get("report", "")),  # missing in records of earlier versions
    )


def last_words(log: Path) -> str:
    """Why a job failed, from its log: the last line of FOCUS, else the last error, else the last line."""
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

"""The rows of a cohort's page: samples, and the jobs that samples share."""

from __future__ import annotations

from dataclasses import dataclass

from focus_cli.reporting.cohort.analyses import SampleAnalyses
from focus_cli.reporting.cohort.facts import Score


@dataclass(frozen=True)
class CohortRow:
    """One sample of a cohort. None: not known.

    Attributes
    ----------
    status, rule, message, log
        How far it is; where and why it stopped, and the log that states it, relative to the page.
    median_counts, median_reliability
        Of its locations.
    abstained
        Share of locations whose estimate should not be read, 0 to 1.
    scores
        FOCUS beside the best baseline, one for each hold-out or truth.
    analyses
        What was found of it after enhancement.
    seconds, memory_mb
        Of all of its jobs together, and of the largest.
    report, enhanced
        Relative to the page; empty where they are not there.
    """

    sample: str
    status: str
    rule: str
    message: str
    log: str
    platform: str
    organ: str
    donor: str
    group: str
    split: str
    model: str
    locations: int | None
    genes: int | None
    median_counts: float | None
    median_reliability: float | None
    abstained: float | None
    warnings: tuple[str, ...]
    scores: tuple[Score, ...]
    analyses: SampleAnalyses
    seconds: float | None
    memory_mb: float | None
    report: str
    enhanced: str


@dataclass(frozen=True)
class SharedJob:
    """A reference or a model: what it is of, whether it is there, and what it took."""

    rule: str
    name: str
    what: str
    done: bool
    seconds: float | None
    memory_mb: float | None

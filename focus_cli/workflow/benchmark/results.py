"""Scores of all cases and their summaries: targets, conditioning, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.documents import read_json_object
from focus_cli.evaluation import is_ours
from focus_cli.workflow.benchmark.config import BenchmarkConfig, Case, Floor
from focus_cli.workflow.benchmark.plan import BenchmarkPlan

OURS = "focus"


@dataclass(frozen=True)
class CaseResult:
    """Scores of one case: one row per method, and how far ours is ahead of each."""

    name: str
    case: Case
    rows: dict[str, Mapping[str, Any]]
    differences: Mapping[str, Mapping[str, float]]
    skipped: Mapping[str, str]

    @property
    def ours(self) -> Mapping[str, Any]:
        """Our row."""
        return self.rows[OURS]

    @property
    def others(self) -> dict[str, Mapping[str, Any]]:
        """Rows of baselines and peers."""
        ablated = set(BenchmarkPlan.labels_of(self.case))
        return {m: row for m, row in self.rows.items() if not is_ours(m) and m not in ablated}


@dataclass(frozen=True)
class FloorResult:
    """One target against one method: the value reached, with its interval if there is one."""

    case: str
    task: str
    other: str
    target: str
    ours: float
    theirs: float
    reached: float
    lo: float
    hi: float
    kept: bool


def read_results(config: BenchmarkConfig, out: Path) -> list[CaseResult]:
    """Read ``scores.json`` of every case.

    Raises
    ------
    MissingResourceError
        If a case was not scored.
    BadInputError
        If a file is damaged.
    """
    plan = BenchmarkPlan(config)
    results = []
    for name, case in config.cases.items():
        path = Path(out) / Path(plan.case(name, "scores")).relative_to(plan.out) / "scores.json"
        if not path.is_file():
            raise MissingResourceError(f"no such file: {path}", hint="focus benchmark makes it")
        try:
            record = read_json_object(path)
            group = next(iter(record["groups"]))
            rows = {row["method"]: row for row in record["rows"] if row["genes"] == group}
            results.append(CaseResult(name, case, rows, record["differences"][group], record["skipped"]))
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
            raise BadInputError(f"{path} is damaged: {error}", hint="remove the folder and start again") from error
    return results


def number(value: Any) -> float:
    """A number of a JSON file; NaN for null."""
    return math.nan if value is None else float(value)


def floors(results: list[CaseResult]) -> Iterator[FloorResult]:
    """Targets of each case, against each method that ran."""
    for result in results:
        floor = result.case.floor
        if floor is None:
            continue
        for other in floor.over:
            if other in result.rows:
                yield _floor(result, floor, other)


def _floor(result: CaseResult, floor: Floor, other: str) -> FloorResult:
    ours, theirs = result.ours, result.rows[other]
    gap = result.differences[other]
    lo = hi = math.nan
    if floor.ratio is not None:
        target, measure, required = f"{floor.ratio:g} × PCC", "pcc_mean", floor.ratio
        reached, lo, hi = (number(gap[key]) for key in ("ratio", "ratio_lo", "ratio_hi"))
    elif floor.points is not None:
        target, measure, required = f"+ {floor.points:g} points of the ceiling", "fraction_of_ceiling", floor.points
        reached = 100 * (number(ours[measure]) - number(theirs[measure]))
        # The interval of the difference of mean PCC, in the unit of the points.
        unit = reached / number(gap["pcc_mean"]) if gap["pcc_mean"] else math.nan
        lo, hi = number(gap["lo"]) * unit, number(gap["hi"]) * unit
    else:
        target, measure, required = f"+ {floor.likelihood:g} log-likelihood", "poisson_ll_per_umi", floor.likelihood
        reached = number(ours[measure]) - number(theirs[measure])
    # Where the other's mean is zero or below, any gain is more than every ratio.
    kept = reached >= required if math.isfinite(reached) else number(gap["lo"]) > 0
    figures = number(ours[measure]), number(theirs[measure]), reached, lo, hi
    return FloorResult(result.name, result.case.task, other, target, *figures, kept)


def conditioning(results: list[CaseResult]) -> Iterator[dict[str, Any]]:
    """Effect of dropping and shuffling a signal: one row per case, signal and way."""
    for result in results:
        for label in BenchmarkPlan.labels_of(result.case):
            signal, done = label.split("_")
            gap = result.differences[label]
            yield {
                "case": result.name,
                "signal": signal,
                "done": done,
                "with": number(result.ours["pcc_mean"]),
                "without": number(result.rows[label]["pcc_mean"]),
                "cost": number(gap["pcc_mean"]),
                "lo": number(gap["lo"]),
                "hi": number(gap["hi"]),
            }

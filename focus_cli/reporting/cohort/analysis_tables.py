"""What was found in the samples of a cohort, side by side: bars of what they consist of, and numbers of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from focus_cli.reporting.layers import colours_of, in_order, is_category

if TYPE_CHECKING:
    from focus_cli.reporting.cohort.analyses import Shares
    from focus_cli.reporting.cohort.rows import CohortRow

SHARES = {"domains": "domains", "celltypes": "cell types", "annotations": "annotations"}
TESTS = {"patterns": "genes", "interactions": "pairs"}
_MOST_COLOURS = 12
_DIFFERENT = 20  # colours that the palette of the reports has
_THINNEST = 0.002  # of a bar, that can be seen


@dataclass(frozen=True)
class Part:
    """A piece of a bar: which colour of its column, how wide in thousandths, and its text when pointed at."""

    code: int
    width: int
    words: str


@dataclass(frozen=True)
class Bar:
    """One sample as a stacked bar.

    Attributes
    ----------
    summary
        The three largest parts, for who does not see it.
    confidence
        In words; empty where there is none.
    """

    parts: list[Part]
    summary: str
    confidence: str
    note: str


@dataclass(frozen=True)
class BarColumn:
    """One kind of analysis result in all samples.

    Attributes
    ----------
    legend
        (name, colour) by code of the parts; a name has one colour in all bars.
    others
        How many names have no separate colour; their code comes after the legend's.
    bars
        By sample.
    note
        Where the names come from, if that is one thing for all samples.
    """

    title: str
    legend: list[tuple[str, str]]
    others: int
    bars: dict[str, Bar]
    note: str


@dataclass(frozen=True)
class Found:
    """The card of a cohort's analysis results.

    Attributes
    ----------
    outcome
        What the outcome is stated in: probability, relative hazard, score; empty where there is none.
    tests
        (stage, what was tested) of the tests that were made.
    apart
        Whether domains of several models stand here, which have nothing in common but their names.
    """

    columns: list[BarColumn]
    outcome: str
    tests: list[tuple[str, str]]
    apart: bool


def found_of(rows: Sequence[CohortRow]) -> Found | None:
    """What the card shows; None where no sample has an analysis result."""
    columns = [_column(rows, stage, title) for stage, title in SHARES.items() if _any(rows, "shares", stage)]
    tests = [(stage, what) for stage, what in TESTS.items() if _any(rows, "tests", stage)]
    stated = dict.fromkeys(row.analyses.outcome.what for row in rows if row.analyses.outcome)
    apart = len({row.model for row in rows if "domains" in row.analyses.shares}) > 1
    return Found(columns, " or ".join(stated), tests, apart) if columns or tests or stated else None


def _any(rows: Sequence[CohortRow], kind: str, stage: str) -> bool:
    return any(stage in getattr(row.analyses, kind) for row in rows)


def _column(rows: Sequence[CohortRow], stage: str, title: str) -> BarColumn:
    by_sample = {row.sample: row.analyses.shares[stage] for row in rows if stage in row.analyses.shares}
    total: dict[str, float] = {}
    for shares in by_sample.values():
        for name, value in shares.share.items():
            total[name] = total.get(name, 0.0) + value
    names = _coloured_order(total, by_sample.values())
    shown = set(sorted(names, key=lambda name: -total[name])[:_MOST_COLOURS])
    # Colours are those of the samples' reports, unless one of them would repeat.
    colour = dict(zip(names, colours_of(names)))
    if len(names) > _DIFFERENT:
        kept = [name for name in names if name in shown]
        colour = dict(zip(kept, colours_of(kept)))
    legend = [(name, colour[name]) for name in sorted(in_order(shown), key=is_category, reverse=True)]
    code = {name: i for i, (name, _) in enumerate(legend)}
    bars = {sample: _bar(shares, code) for sample, shares in by_sample.items()}
    notes = {bar.note for bar in bars.values()}
    return BarColumn(title, legend, len(names) - len(legend), bars, notes.pop() if len(notes) == 1 else "")


def _coloured_order(total: dict[str, float], all_shares: Any) -> list[str]:
    """Names in the order of their colours: labels of locations first, as in a report, then all others."""
    labels = in_order({name for shares in all_shares for name in shares.labels if name in total})
    return [*labels, *in_order(set(total) - set(labels))]


def _bar(shares: Shares, code: dict[str, int]) -> Bar:
    values = [(i, name, shares.share[name]) for name, i in code.items() if name in shares.share]
    if rest := sum(value for name, value in shares.share.items() if name not in code):
        values.append((len(code), "other", rest))
    largest = sorted(shares.share.items(), key=lambda item: -item[1])[:3]
    return Bar(
        [Part(i, max(1, round(1000 * v)), f"{name} {100 * v:.1f} %") for i, name, v in values if v >= _THINNEST],
        ", ".join(f"{name} {value:.0%}" for name, value in largest),
        "" if shares.confidence is None else f"{shares.confidence:.2f}",
        shares.note,
    )


def columns_of(rows: Sequence[CohortRow]) -> list[str]:
    """Columns that the analysis results add to the table: one per name in natural order, then those of every run."""
    names = [
        f"{stage}.{name}"
        for stage in SHARES
        for name in in_order({name for row in rows if stage in row.analyses.shares for name in _plain(row, stage)})
    ]
    return [*names, "outcome", *(f"{stage}.{part}" for stage in TESTS for part in ("found", "tested"))]


def cells_of(row: CohortRow) -> dict[str, Any]:
    """What the analysis results of a sample add to its line of the table."""
    cells: dict[str, Any] = {
        f"{stage}.{name}": value for stage in row.analyses.shares for name, value in _plain(row, stage).items()
    }
    if row.analyses.outcome:
        cells["outcome"] = row.analyses.outcome.value
    for stage, tests in row.analyses.tests.items():
        cells |= {f"{stage}.found": tests.found, f"{stage}.tested": tests.tested}
    return cells


def _plain(row: CohortRow, stage: str) -> dict[str, float]:
    """Shares by names without tabs and line breaks, which would end a cell."""
    return {" ".join(name.split()): value for name, value in row.analyses.shares[stage].share.items()}

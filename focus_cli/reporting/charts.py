"""Numbers of the small charts, which the template draws as inline SVG: crisp, and in the page's colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_WIDTH, _HEIGHT = 300.0, 110.0


@dataclass(frozen=True)
class Histogram:
    """Bars and ticks in a box of 300 × 110 units.

    Attributes
    ----------
    title, unit
        What is counted, and its unit.
    series
        (name, [(x, y, width, height, tooltip)]) of each group of bars, drawn one over the other.
    ticks
        (x, label) along the axis.
    summary
        One line: median and interquartile range.
    """

    title: str
    unit: str
    series: list[tuple[str, list[tuple[float, float, float, float, str]]]]
    ticks: list[tuple[float, str]]
    summary: str


def short(value: float) -> str:
    """A number for reading: 3 significant digits, thousands as k."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.3g} k"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ends(low: float, high: float) -> tuple[str, str]:
    """Both ends of a colour bar, with the decimals that their difference needs."""
    if not (math.isfinite(low) and math.isfinite(high)) or max(abs(low), abs(high)) >= 1e4:
        return short(low), short(high)
    span = max(high - low, 1e-9)
    decimals = 2 if 0.1 <= span < 10 else min(6, max(0, 1 - math.floor(math.log10(span))))
    return tuple("0" if abs(v) < 0.5 * 10**-decimals else f"{v:,.{decimals}f}" for v in (low, high))


def _ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    step = MaxNLocator(nbins=wanted, steps=[1, 2, 2.5, 5, 10])
    return [float(t) for t in step.tick_values(low, high) if low - 1e-12 <= t <= high + 1e-12]


def histogram(
    title: str,
    groups: dict[str, np.ndarray],
    *,
    unit: str = "",
    of: str = "locations",
    log: bool = False,
    span: tuple[float, float] | None = None,
    bins: int = 40,
) -> Histogram | None:
    """Count values of one or more groups into common bins.

    Parameters
    ----------
    title, unit, of
        Words: what the values are, their unit, and what has them.
    groups
        Name → values; NaN is left out. Each group is scaled to the tallest bar of all.
    log
        Bins of equal width on a log axis; values below 1 are counted in the first bin.
    span
        Ends of the axis; the data's own by default.
    """
    groups = {name: np.asarray(v, dtype=float)[np.isfinite(v)] for name, v in groups.items()}
    groups = {name: v for name, v in groups.items() if len(v)}
    if not groups:
        return None
    every = np.concatenate(list(groups.values()))
    shaped = (lambda v: np.log10(np.maximum(v, 1.0))) if log else (lambda v: v)
    low, high = span if span is not None else (float(shaped(every).min()), float(shaped(every).max()))
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    counted = {k: np.histogram(np.clip(shaped(v), low, high), edges)[0] for k, v in groups.items()}
    top = max(int(c.max()) for c in counted.values()) or 1
    width = _WIDTH / bins
    series = []
    for name, tally in counted.items():
        bars = []
        for i, count in enumerate(tally):
            if count:
                height = _HEIGHT * count / top
                ends = (10 ** edges[i : i + 2] if log else edges[i : i + 2]).tolist()
                tip = f"{short(ends[0])} to {short(ends[1])}: {count:,} {of}"
                bars.append((round(i * width, 2), round(_HEIGHT - height, 2), round(width, 2), round(height, 2), tip))
        series.append((name, bars))
    if log:
        marks = [float(d) for d in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
        if len(marks) < 3:
            decades = range(math.floor(low), math.ceil(high) + 1)
            fine = [math.log10(m * 10.0**d) for d in decades for m in (1, 2, 5)]
            marks = [m for m in fine if low <= m <= high]
    else:
        marks = _ticks(low, high)
    ticks = [(round((m - low) / (high - low) * _WIDTH, 2), short(10**m if log else m)) for m in marks]
    quartiles = np.percentile(every, [25, 50, 75])
    summary = f"median {short(quartiles[1])}, interquartile range {short(quartiles[0])} to {short(quartiles[2])}"
    return Histogram(title, unit, series, ticks, summary)


@dataclass(frozen=True)
class Dot:
    """One method in a dot plot; positions in percent of the axis."""

    method: str
    value: float
    at: float
    low: float | None
    high: float | None
    ours: bool
    best: bool


@dataclass(frozen=True)
class DotPlot:
    """Methods on one axis, best first, with bootstrap intervals and the noise ceiling."""

    dots: list[Dot]
    ticks: list[tuple[float, str]]
    ceiling: float | None
    zero: float | None


def dot_plot(rows: list[tuple[str, float, float | None, float | None, bool, bool]], ceiling: float | None) -> DotPlot:
    """Place (method, value, low, high, ours, best) on a common axis; NaN methods are left out."""
    rows = [r for r in rows if math.isfinite(r[1])]
    ends = [v for r in rows for v in r[1:4] if v is not None and math.isfinite(v)]
    if ceiling is not None:
        ends.append(ceiling)
    low, high = min([0.0, *ends]), max([0.0, *ends])
    pad = 0.04 * (high - low or 1.0)
    low, high = (low - pad if low < 0 else 0.0), high + pad

    def at(value: float | None) -> float | None:
        if value is None or not math.isfinite(value):
            return None
        return round(100 * (value - low) / (high - low), 2)

    dots = [Dot(m, v, at(v), at(lo), at(hi), ours, best) for m, v, lo, hi, ours, best in rows]
    ticks = [(at(t), f"{t:.2g}") for t in _ticks(low, high)]
    return DotPlot(dots, ticks, at(ceiling), at(0.0) if low < 0 else None)

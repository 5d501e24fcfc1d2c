"""Which scale expression values are on, and how a logarithm is undone.

Log-normalised values are recognised by their cells: after the logarithm is undone with the right base, all cells of a
normalised matrix have the same sum. With the wrong base they do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.core.errors import BadInputError

if TYPE_CHECKING:
    from scipy import sparse

BASES = (math.e, 2.0, 10.0)
TRANSFORMS = (None, *BASES)  # columns of `CellFacts.sums`: as they are, then with each logarithm undone
_MOST_LOG = 20.0  # log2 of counts per million stays below, and the natural logarithm of a billion
_MOST_SHARE = 1e9  # largest value that a logarithm is believed to stand for
_SAME = 2e-3  # sums that differ by less, relative to their size, are the same
_FITS, _PART, _FEWEST = 0.9, 0.02, 5
_MANY, _NOT_COUNTED = 100, 5  # among so many counts of a cell there are small ones
# Whole numbers that are not counts: of so many totals and values, a share of the spread of a Poisson process.
_TOTALS, _UNDERDISPERSED, _VALUES = 20, 0.4, 1000
HEAD = 2000  # rows in which two matrices are compared


@dataclass(frozen=True)
class CellFacts:
    """What a pass over a matrix of cells × genes finds in each cell.

    Attributes
    ----------
    n_values
        int64 (n,): values that are not zero.
    n_fractions
        int64 (n,): values that are no whole numbers.
    least
        float64 (n,): the smallest value that is not zero; infinite where there is none.
    most
        float64 (n,): the largest value.
    sums
        float64 (n, 4): sums of the values under each of `TRANSFORMS`; those with a logarithm undone are exact only
        for cells that hold a fraction.
    divisor
        Largest whole number that divides all values; 1 where a value is no whole number, 0 where there is none.
    """

    n_values: np.ndarray
    n_fractions: np.ndarray
    least: np.ndarray
    most: np.ndarray
    sums: np.ndarray
    divisor: int = 0

    @classmethod
    def empty(cls, n: int) -> CellFacts:
        """Of `n` cells without a value."""
        numbers = np.zeros(n, np.int64), np.zeros(n, np.int64)
        return cls(*numbers, np.full(n, np.inf), np.zeros(n), np.zeros((n, len(TRANSFORMS))))


@dataclass(frozen=True)
class Scale:
    """Scale of a matrix without negative values.

    Attributes
    ----------
    kind
        ``"counts"``, ``"log1p"``, ``"linear"`` (normalised, not logged), ``"empty"``, ``"mixed"`` (cells on different
        scales) or ``"contradiction"`` (the values are not on the scale that the file states).
    base
        Of the logarithm; None for any other kind.
    reason
        What decided, in words; what is wrong with the last two kinds.
    proven
        Whether the values themselves show it, and nothing was assumed or taken from the file's word.
    """

    kind: str
    base: float | None = None
    reason: str = ""
    proven: bool = False


def stated_log_base(uns: Any, what: str) -> float | None:
    """The base that the entry ``log1p`` of ``uns`` states; None where there is no such entry.

    Parameters
    ----------
    uns
        ``uns`` of an AnnData, or its entries ``log1p`` and ``X_name`` alone. scanpy writes no base for the natural
        logarithm; zellkonverter names ``logcounts``, which are to base 2.
    what
        The file, for messages.

    Raises
    ------
    BadInputError
        If the entry is no base of a logarithm.
    """
    entry = uns.get("log1p") if isinstance(uns, Mapping) else None
    if entry is None:
        named = _scalar(uns.get("X_name")) if isinstance(uns, Mapping) else None
        return 2.0 if named == "logcounts" else None
    base = _scalar(entry.get("base")) if isinstance(entry, Mapping) else None
    if base is None or (isinstance(base, str) and base.strip().lower() in ("", "e", "none", "null", "nan")):
        return math.e
    try:
        number = float(base)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number) and not isinstance(base, str):
        return math.e  # R has no None: it writes NA
    if not (math.isfinite(number) and number > 0 and abs(number - 1) > 1e-6):
        raise BadInputError(
            f"{what}: uns['log1p']['base'] is {base!r}, which is no base of a logarithm",
            hint="set it to the base that was used, or give raw counts",
        )
    near = next((b for b in BASES if abs(number - b) < 1e-3), number)
    return float(near)


def _scalar(value: Any) -> Any:
    """A number or text, however it was stored: 0-dimensional, or an array of one."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size == 1 else (None if value.size == 0 else value.tolist())
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def undo_log(values: np.ndarray, base: float | None) -> np.ndarray:
    """baseˣ − 1 in float64; values as they are where `base` is None."""
    values = np.asarray(values, np.float64)
    if base is None:
        return values
    return np.expm1(values * math.log(base))


def base_name(base: float) -> str:
    """A base in words: e, 2, 10."""
    return "e" if base == math.e else f"{base:g}"


def recognise_scale(facts: CellFacts, stated: float | None = None, *, binding: bool = True) -> Scale:
    """Scale of a matrix, from all of its values.

    Parameters
    ----------
    facts
        Of the cells; no value is negative.
    stated
        Base of the logarithm that the file states, or None.
    binding
        Whether the statement is about this matrix. Where it is about another one, as that of ``uns`` about ``X`` and
        not about ``raw``, cells of equal sums decide first.
    """
    filled = np.flatnonzero(facts.n_values > 0)
    if not len(filled):
        return Scale("empty")
    whole = facts.n_fractions[filled] == 0
    if whole.all():
        if mixed := _rounded_among(facts):
            return Scale("mixed", reason=mixed)
        if rounded := _rounded(facts):
            return Scale("linear", reason=rounded, proven=True)
        return Scale("counts", reason="all values are whole numbers", proven=True)
    rows = filled[~whole]
    found = {t: _equal_sums(facts.sums[rows, k]) for k, t in enumerate(TRANSFORMS)}
    if (mixed := _counts_among(facts, filled[whole], rows, found)) or (mixed := _two_scales(facts, rows, found)):
        return Scale("mixed", reason=mixed)
    best = max(found, key=lambda t: found[t].mean())
    share = found[best].mean()
    proven = share >= _FITS and len(rows) >= _FEWEST
    most = float(facts.most[rows].max())
    if stated is not None and (not proven or (binding and stated not in BASES)):
        if most > math.log(_MOST_SHARE, stated):
            return Scale(
                "contradiction",
                reason=f"the file states a logarithm to base {base_name(stated)}, and values go up to {most:,.6g}",
            )
        return Scale("log1p", stated, f"base {base_name(stated)}, as the file states")
    if proven and stated is not None and best != stated and binding:
        is_ = f"to base {base_name(best)}" if best is not None else "undone already"
        return Scale(
            "contradiction",
            reason=f"the file states a logarithm to base {base_name(stated)}, and cells have equal sums with one {is_}",
        )
    if share >= 0.3 and len(rows) >= _FEWEST:
        if best is None:
            return Scale("linear", reason="cells have equal sums", proven=proven)
        return Scale("log1p", best, f"base {base_name(best)}, with which cells have equal sums", proven)
    if most < _MOST_LOG:
        return Scale("log1p", math.e, "the natural logarithm is assumed: no base is stated and no sums determine it")
    return Scale("linear", reason="values are neither whole numbers nor a logarithm")


def have_rounded_total(totals: np.ndarray) -> bool:
    """Whether sums of whole numbers were made equal before the numbers were rounded, float64 (n,).

    Totals of counts vary at least as those of a Poisson process; rarefied ones are exactly equal.
    """
    totals = totals[totals > 0]
    return len(totals) >= _TOTALS and bool(0 < totals.std() < _UNDERDISPERSED * np.sqrt(totals.mean()))


def are_other_counts(ours: sparse.csr_matrix, theirs: sparse.csr_matrix) -> bool:
    """Whether `theirs` of the same shape, the first rows of a matrix, holds whole numbers other than `ours`."""
    values = theirs.data
    if ours.shape != theirs.shape or not values.any() or not np.isfinite(values).all():
        return False
    return bool(values.min() >= 0 and (values == np.rint(values)).all() and (ours != theirs).nnz)


def _rounded(facts: CellFacts) -> str:
    """What was done to whole numbers that are not counts; "" if nothing."""
    if facts.n_values.sum() < _VALUES or facts.most.max() <= 1:  # too few to decide, or presence and absence
        return ""
    if have_rounded_total(facts.sums[:, 0]):
        return "the whole numbers of each cell have nearly one sum: normalised and rounded"
    if facts.divisor > 1 and facts.most.max() >= 5 * facts.divisor:
        return f"all values are multiples of {facts.divisor}: counts that were scaled"
    return ""


def _equal_sums(sums: np.ndarray) -> np.ndarray:
    """Which cells have the sum that most have, bool (n,)."""
    logs = np.log(np.maximum(sums, 1e-30))
    order = np.sort(logs)
    ends = np.searchsorted(order, order + _SAME, side="right")
    start = order[int(np.argmax(ends - np.arange(len(order))))]
    return (logs >= start) & (logs <= start + _SAME)


def _rounded_among(facts: CellFacts) -> str:
    """What is wrong where some cells hold counts and others were scaled and rounded; "" if nothing."""
    long = facts.n_values >= _MANY
    scaled, counted = int((facts.least[long] >= _NOT_COUNTED).sum()), int((facts.least[long] == 1).sum())
    if min(scaled, counted) < max(_FEWEST, _PART * long.sum()):
        return ""
    return f"{scaled:,} cells hold no value below {_NOT_COUNTED} among {_MANY} and more, {counted:,} hold ones"


def _counts_among(facts: CellFacts, whole: np.ndarray, rows: np.ndarray, found: dict) -> str:
    """What is wrong where some cells hold whole numbers alone and the others hardly any; "" if nothing."""
    whole = whole[facts.n_values[whole] >= 3]
    if found[None].mean() >= 0.5:  # normalised: the sum of a cell of whole numbers is that of the others
        usual = np.median(facts.sums[rows[found[None]], 0])
        whole = whole[np.abs(np.log(facts.sums[whole, 0] / usual)) > 2 * _SAME]
    n = len(whole) + len(rows)
    few = max(_FEWEST, _PART * n)
    fractions = np.median(facts.n_fractions[rows] / facts.n_values[rows])
    if len(whole) < few or len(rows) < few or fractions < 0.5:
        return ""
    return f"{len(whole):,} cells hold whole numbers and {len(rows):,} do not"


def _two_scales(facts: CellFacts, rows: np.ndarray, found: dict) -> str:
    """What is wrong where cells are normalised on two scales; "" if nothing."""
    few = max(_FEWEST, _PART * len(rows))
    for i, one in enumerate(TRANSFORMS):
        for two in TRANSFORMS[i + 1 :]:
            first, second = found[one] & ~found[two], found[two] & ~found[one]
            if min(first.sum(), second.sum()) >= few and (first | second).mean() >= _FITS:
                return f"{first.sum():,} cells are {_named(one)} and {second.sum():,} are {_named(two)}"
    # Without equal sums: cells of small values that have the size of the others once a logarithm is undone.
    low = facts.most[rows] < _MOST_LOG
    if min(low.sum(), (~low).sum()) < few:
        return ""
    plain, undone = facts.sums[rows, 0], np.log(facts.sums[rows, 1][low])
    large = np.median(plain[~low])
    alike = np.subtract(*np.percentile(undone, [75, 25])) < 1 and abs(np.median(undone) - np.log(large)) < np.log(5)
    if alike and np.median(plain[low]) < large / 5:
        return f"{low.sum():,} cells look like logarithms and {(~low).sum():,} do not"
    return ""


def _named(transform: float | None) -> str:
    return "normalised without a logarithm" if transform is None else f"logarithms to base {base_name(transform)}"

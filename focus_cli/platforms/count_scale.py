"""Why a matrix holds no raw counts: the scale that its values are on, in words and with what to do about it."""

from __future__ import annotations

import numpy as np
from scipy import sparse

# log1p of counts scaled to at most a million stays below this.
LOG_CEILING = 20.0
RAW_HINT = "give raw counts; in an AnnData, put them in layers['counts'], and mark proteins by var['feature_types']"
_ALMOST = 1e-3  # of a whole number: what is lost by computing with counts
_BEYOND = 50  # values above the maximum that counts would have
_ALIKE = 0.01  # coefficient of variation of totals that were made equal
_FEW, _FEW_SHARE = 5, 0.005  # values that are no counts, of a matrix that holds counts elsewhere
_PART = 0.1  # of the locations, or of the genes, with whole numbers
_BASES = {"e": np.e, "2": 2.0, "10": 10.0}
_BLOCK = 1 << 18
# Of intensities: a mean value, the largest values of pictures and how many reach them, filled places and their median.
_BRIGHT, _FULL_SCALES, _SATURATED, _FILLED, _DENSE = 500.0, (255.0, 1023.0, 4095.0, 16383.0, 65535.0), 5, 0.95, 50.0


def why_not_counts(matrix: sparse.spmatrix) -> tuple[str, str]:
    """What the values are instead of counts, and a hint.

    Parameters
    ----------
    matrix
        Locations × genes, finite and not negative, with a value that is no whole number.
    """
    matrix = sparse.csr_matrix(matrix)
    data, highest = matrix.data, float(matrix.data.max())
    broken = np.concatenate([_broken(block) for block in np.split(data, range(_BLOCK, len(data), _BLOCK))])
    if not np.any(broken & (np.abs(data - np.rint(data)) > _ALMOST)):
        return "values are whole numbers but for errors of rounding", "round them to whole numbers and save the file"
    n_broken = int(broken.sum())
    if n_broken < _FEW or n_broken < _FEW_SHARE * len(data):
        example = data[int(np.argmax(broken))]
        return f"values are not whole numbers: {n_broken} of {len(data)}, for instance {example:.6g}", RAW_HINT
    level = _level(np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel())
    if level is not None:
        return (
            f"values are not whole numbers (highest {highest:.4g}), and each location's add up to about {level:.4g}: "
            "normalised to one total",
            RAW_HINT,
        )
    parts = _partly(matrix, broken, highest)
    if parts is not None:
        return parts
    if _multiples(matrix):
        return (
            f"values are not whole numbers (highest {highest:.4g}), but those of a location are multiples of its "
            "smallest: counts divided by a size factor, a volume or a number of cells (normalised or averaged)",
            RAW_HINT,
        )
    if highest <= LOG_CEILING:
        return f"values look log-normalised (not whole numbers, highest {highest:.3g}{_log_base(matrix)})", RAW_HINT
    return f"values are not whole numbers (highest {highest:.4g}): normalised?", RAW_HINT


def intensity_note(counts: sparse.csr_matrix) -> str:
    """Note on whole numbers that look like intensities of a picture; "" where they look counted.

    Counted transcripts of a gene are few in most locations. Intensities are large in nearly all of them, or stop at
    the largest number that a picture of 8, 10, 12, 14 or 16 bits holds.
    """
    n, data = counts.shape[0] * counts.shape[1], counts.data
    if not n or not len(data):
        return ""
    mean, highest = float(data.sum(dtype=np.float64)) / n, float(data.max())
    reason = ""
    if mean > _BRIGHT:
        reason = f"{mean:,.0f} on average for a gene and a location"
    elif highest in _FULL_SCALES and (full := int(np.sum(data == highest))) >= _SATURATED:
        reason = f"{full:,} values are {highest:.0f}, the largest of a picture, and none is above it"
    elif len(data) > _FILLED * n and float(np.median(data)) >= _DENSE:
        reason = f"hardly any gene is absent from a location, and half of the values are above {np.median(data):.0f}"
    if not reason:
        return ""
    return f"{reason}: are these rescaled intensities, and not counts? FOCUS models counts"


def clipping_note(counts: sparse.csr_matrix) -> str:
    """Note on whole numbers whose highest is reached too often; "" where they end as counts do.

    Counts are a mixture of Poisson processes, for which (k + 1) P(k + 1) / P(k) does not fall with k: from the numbers
    of values at the maximum m and at m - 1 follows the least number expected at m + 1.
    """
    data = counts.data
    if not len(data) or (most := float(data.max())) < 2:
        return ""
    at, below = int(np.sum(data == most)), int(np.sum(data == most - 1))
    expected = at**2 / max(below, 1) * most / (most + 1)
    if expected < _BEYOND:
        return ""
    return (
        f"{at:,} values ({at / len(data):.2%} of those above 0) are {most:,.0f} and none is higher, where about "
        f"{expected:,.0f} would be {most + 1:,.0f}: were the counts clipped?"
    )


def _broken(values: np.ndarray) -> np.ndarray:
    return values != np.rint(values)


def _partly(matrix: sparse.csr_matrix, broken: np.ndarray, highest: float) -> tuple[str, str] | None:
    """Where some locations, or some genes, hold counts and the others do not."""
    filled = np.diff(matrix.indptr)
    row = np.repeat(np.arange(matrix.shape[0]), filled)
    found = []
    for what, place, size, held in (
        ("locations", row, matrix.shape[0], filled),
        ("genes", matrix.indices, matrix.shape[1], np.bincount(matrix.indices, minlength=matrix.shape[1])),
    ):
        wrong = np.bincount(place[broken], minlength=size) > 0
        several = held >= 3  # one or two values of a normalised row may be whole by chance
        found.append((np.sum(several & ~wrong) / max(several.sum(), 1), what, wrong, held, place))
    share, what, wrong, held, place = max(found, key=lambda one: one[0])
    if share < _PART:
        return None
    other = matrix.data[wrong[place]].max()
    scale = "log-normalised" if other <= LOG_CEILING else "normalised"
    return (
        f"blocks of the matrix are on different scales: {int(wrong.sum())} of {int(np.sum(held > 0))} {what} "
        f"hold {scale} values, the others whole numbers (highest {highest:.4g})",
        "raw counts and normalised values were joined: give raw counts of all",
    )


def _log_base(matrix: sparse.csr_matrix) -> str:
    """In words, the logarithm that makes the totals of all locations alike when it is undone."""
    for name, base in _BASES.items():
        linear = matrix.copy()
        linear.data = np.expm1(linear.data.astype(np.float64) * np.log(base))
        level = _level(np.asarray(linear.sum(axis=1)).ravel())
        if level is not None:
            return f"; logarithm to base {name} of counts scaled to {level:.4g}"
    return ""


def _level(totals: np.ndarray) -> float | None:
    """The total that locations have in common."""
    totals = totals[totals > 0]
    if len(totals) < 3 or not np.isfinite(totals).all():
        return None
    return float(np.median(totals)) if totals.std() < _ALIKE * totals.mean() else None


def _multiples(matrix: sparse.csr_matrix) -> bool:
    """Whether the values of most locations are whole multiples of the smallest of each."""
    good = looked = 0
    for i in np.flatnonzero(np.diff(matrix.indptr) >= 3)[:2000]:
        values = matrix.data[matrix.indptr[i] : matrix.indptr[i + 1]].astype(np.float64)
        values = values[values > 0]
        ratio = values / values.min() if len(values) else np.ones(1)
        if ratio.max() >= 3:  # of ones and twos, a logarithm is no less a multiple
            looked += 1
            good += bool(np.abs(ratio - np.rint(ratio)).max() < 1e-4 * ratio.max())
    return looked > 2 and good > 0.8 * looked

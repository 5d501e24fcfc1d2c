"""Do the intervals hold what they promise? Only asked of a truth without noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from focus_cli.evaluation.normalise import column_chunks
from focus_cli.evaluation.truth import Truth

Columns = Callable[[np.ndarray], np.ndarray]


def coverage(truth: Truth, low: Columns, high: Columns, genes: np.ndarray) -> tuple[float, float]:
    """Share of (location, gene) pairs whose truth lies within the interval, and the interval's mean width.

    Parameters
    ----------
    truth
        Of kind ``expected``: counts would need an interval for counts.
    low, high
        Positions among the scored genes → the interval's ends on log1p CP10k, (n, len).
    genes
        Positions among the scored genes.
    """
    inside, width = 0, 0.0
    for chunk in column_chunks(truth.n, len(genes)):
        here = genes[chunk]
        values, bottom, top = truth.columns(here), low(here), high(here)
        inside += int(((bottom <= values) & (values <= top)).sum())
        width += float((top - bottom).sum(dtype=np.float64))
    pairs = truth.n * len(genes)
    return inside / pairs, width / pairs

"""Do the intervals hold what they promise? Only asked of a truth without noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from focus_cli.evaluation.normalise import column_chunks

Columns = Callable[[np.ndarray], np.ndarray]


def coverage(n: int, truth: Columns, interval: tuple[Columns, Columns], genes: np.ndarray) -> tuple[float, float]:
    """Share of (location, gene) pairs whose truth lies within the interval, and the interval's mean width.

    Parameters
    ----------
    n
        Number of locations.
    truth, interval
        Positions among the scored genes → the truth without noise, and the interval's ends, on one scale, (n, len).
    genes
        Positions among the scored genes.
    """
    inside, width = 0, 0.0
    for chunk in column_chunks(n, len(genes)):
        here = genes[chunk]
        values, bottom, top = truth(here), interval[0](here), interval[1](here)
        inside += int(((bottom <= values) & (values <= top)).sum())
        width += float((top - bottom).sum(dtype=np.float64))
    pairs = n * len(genes)
    return inside / pairs, width / pairs

"""Rows of something long on disk that are read together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np


def runs(rows: np.ndarray, starts: np.ndarray, gap: int) -> Iterator[tuple[int, int]]:
    """Cut rows into runs that are rather read at once than one by one.

    Parameters
    ----------
    rows
        Ascending numbers of rows, at least one.
    starts
        Where each row starts; row r ends where r + 1 starts.
    gap
        Elements between two rows that are rather read than jumped over.

    Yields
    ------
    First row and last row + 1 of each run; the rows between may hold some that were not requested.
    """
    cuts = np.flatnonzero(starts[rows[1:]] - starts[rows[:-1] + 1] > gap) + 1
    for begin, end in pairwise([0, *cuts.tolist(), len(rows)]):
        yield int(rows[begin]), int(rows[end - 1]) + 1

"""Area averaging: every output pixel is the mean of exactly the area that it covers."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def area_weights(edges: np.ndarray, start: int, stop: int) -> sparse.csr_array:
    """Weights that average source pixels into cells.

    Parameters
    ----------
    edges
        float64 (n + 1,), rising: cell i covers [edges[i], edges[i + 1]) in source px.
    start, stop
        The source pixels that are there; pixel p covers [p, p + 1). Cells lie within them.

    Returns
    -------
    csr_array
        float32 (n, stop - start); rows sum to 1. A row depends on its own two edges alone, so that
        neighbouring windows agree to the last bit.
    """
    low, high = edges[:-1], edges[1:]
    first = np.floor(low).astype(np.int64)
    last = np.maximum(np.ceil(high).astype(np.int64), first + 1)
    rows, columns = ragged_ranges(first, last)
    overlap = np.minimum(high[rows], columns + 1) - np.maximum(low[rows], columns)
    weights = np.maximum(overlap, 0) / (high - low)[rows]
    columns = np.clip(columns, start, stop - 1) - start  # rounding may point one px outside
    return sparse.csr_array((weights.astype(np.float32), (rows, columns)), shape=(len(low), stop - start))


def ragged_ranges(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spell out ranges of unequal length.

    Parameters
    ----------
    first, last
        int64 (n,): range i is [first[i], last[i]), empty where the end is not past the start.

    Returns
    -------
    rows, columns
        int64, one entry per member: the number of its range, and its value.
    """
    counts = np.maximum(last - first, 0)
    rows = np.repeat(np.arange(len(first)), counts)
    begins = np.cumsum(counts) - counts
    return rows, np.arange(counts.sum()) - begins[rows] + first[rows]


def area_average(pixels: np.ndarray, down: sparse.csr_array, across: sparse.csr_array) -> np.ndarray:
    """Average uint8 (h, w, 3) into uint8 (n, m, 3) by the weights along y and x."""
    height, width, channels = pixels.shape
    rows = down @ pixels.reshape(height, width * channels).astype(np.float32)
    n, m = down.shape[0], across.shape[0]
    by_column = rows.reshape(n, width, channels).transpose(1, 0, 2).reshape(width, n * channels)
    out = (across @ by_column).reshape(m, n, channels).transpose(1, 0, 2)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)

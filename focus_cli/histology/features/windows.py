"""Gaussian windows: sparse weights from pixels to the cells of a grid, and from that grid to itself."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from focus_cli.histology.slides.resample import ragged_ranges

TRUNCATE = 3.0  # windows end at three σ


def gaussian_weights(
    centres: np.ndarray, sigma: float, n: int, first: int = 0, last: int | None = None
) -> sparse.csr_array:
    """Weights of a Gaussian window around every centre.

    Parameters
    ----------
    centres
        float64 (m,), in px; pixel k has its centre at k + 0.5.
    sigma
        In px.
    n
        Number of pixels of the whole axis; what lies outside has no weight.
    first, last
        The pixels that the columns stand for; default: all.

    Returns
    -------
    csr_array
        float32 (m, last - first), not normalised: the caller divides by the weights' sum.
    """
    last = n if last is None else last
    reach = _reach(sigma)
    low = np.maximum(np.ceil(centres - 0.5 - reach).astype(np.int64), 0)
    high = np.minimum(np.floor(centres - 0.5 + reach).astype(np.int64), n - 1)
    rows, columns = ragged_ranges(low, high + 1)
    weights = np.exp(-0.5 * ((columns + 0.5 - centres[rows]) / sigma) ** 2)
    return sparse.csr_array((weights.astype(np.float32), (rows, columns - first)), shape=(len(centres), last - first))


def window_span(centres: np.ndarray, sigma: float, n: int) -> tuple[int, int]:
    """Return the pixels [first, last) that the windows around `centres` touch."""
    reach = _reach(sigma)
    first = max(int(np.ceil(centres[0] - 0.5 - reach)), 0)
    last = min(int(np.floor(centres[-1] - 0.5 + reach)) + 1, n)
    return first, last


def _reach(sigma: float) -> float:
    return max(TRUNCATE * sigma, 1.0)  # one px at least, so that no window is empty


def apply_separable(maps: np.ndarray, down: sparse.csr_array, across: sparse.csr_array) -> np.ndarray:
    """Apply weights along y, then x.

    Parameters
    ----------
    maps
        float32 (k, h, w).
    down, across
        (n, h) and (m, w).

    Returns
    -------
    np.ndarray
        float32 (k, n, m).
    """
    out = np.empty((len(maps), down.shape[0], across.shape[0]), np.float32)
    for k, values in enumerate(maps):
        out[k] = (across @ np.ascontiguousarray((down @ values).T)).T
    return out

"""The Hilbert curve through a plane: what follows one another on it lies side by side."""

from __future__ import annotations

import numpy as np

_BITS = 16  # along each axis: 65,536 steps, finer than the pitch of any array


def hilbert_order(xy: np.ndarray) -> np.ndarray:
    """Order of places along the Hilbert curve over their bounding square (D. Hilbert 1891, doi:10.1007/BF01199431).

    A window of neighbouring places is then a few runs of consecutive ones.

    Parameters
    ----------
    xy
        Places, n × 2, finite.

    Returns
    -------
    int64 (n,), a permutation; places of one cell of the curve keep their order.
    """
    low, side = xy.min(axis=0), max(float(np.ptp(xy, axis=0).max()), 1e-9)
    x, y = np.minimum((xy - low) / side * 2**_BITS, 2**_BITS - 1).astype(np.int64).T
    along = np.zeros(len(xy), np.int64)
    for bit in reversed(range(_BITS)):
        half = 1 << bit
        right, down = (x & half) > 0, (y & half) > 0
        # The four quarters in the order in which the curve meets them, each turned so that their ends join.
        along += half * half * ((3 * right) ^ down)
        x, y = x & (half - 1), y & (half - 1)
        mirrored = right & ~down
        x, y = np.where(mirrored, half - 1 - x, x), np.where(mirrored, half - 1 - y, y)
        x, y = np.where(down, x, y), np.where(down, y, x)
    return np.argsort(along, kind="stable")

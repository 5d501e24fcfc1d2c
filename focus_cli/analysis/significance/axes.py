"""States as regressors of counts: depth taken out, few axes, in the units in which counts are tested."""

from __future__ import annotations

import numpy as np

AXES = 12
KEPT = 0.01  # of the first axis' variance


def state_axes(states: np.ndarray, totals: np.ndarray, basis: np.ndarray, most: int = AXES) -> np.ndarray:
    """Leading axes of √N · state with the depth taken out.

    Parameters
    ----------
    states
        float32 (n, K).
    totals, basis
        Molecules of each location, and what the depth explains (`depth_basis`).

    Returns
    -------
    numpy.ndarray
        float64 (n, k): orthogonal columns, the longest first, whose squared lengths are their share of the variance.
    """
    scaled = states.astype(np.float64) * np.sqrt(totals)[:, None]
    scaled -= basis @ (basis.T @ scaled)
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    order = np.argsort(values)[::-1][:most]
    order = order[values[order] > KEPT * max(values[order[0]], 1e-300)]
    if not len(order) or values[order[0]] <= 1e-12 * max(float(totals.sum()), 1.0):
        return np.zeros((len(states), 0))
    axes = scaled @ vectors[:, order]
    axes /= np.sqrt(values[order].sum())
    return axes * np.sign(np.sum(axes**3, axis=0) + 1e-300)

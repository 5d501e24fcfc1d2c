"""Where one domain ends and another begins."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

REACH = 1.5  # pitches: the six around a spot of a hexagonal array, the eight around a bin


def neighbours(xy_um: np.ndarray, pitch_um: float, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (location, direct neighbour) of usable locations, each pair both ways, int64 each."""
    rows = np.flatnonzero(usable)
    if len(rows) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    pairs = rows[cKDTree(xy_um[rows]).query_pairs(REACH * pitch_um, output_type="ndarray")]
    return np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])


def on_boundary(labels: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Whether a direct neighbour has another label, bool (n,)."""
    here, there = pairs
    return np.bincount(here, labels[here] != labels[there], minlength=len(labels)) > 0

"""Halves of the tissue: what comes out of each of them again is not owed to single locations.

Locations are not drawn one by one: a location's neighbours would tell the other half what it holds. Each section is cut
into patches, every location with the nearest of `PATCHES` random ones (no axis of the slide has a part in it), and
whole patches are drawn.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from focus_cli.core.random import stream

HALVES = 8
PATCHES = 36  # of a section


def halves(xy_um: np.ndarray, section: np.ndarray, seed: int) -> list[np.ndarray]:
    """Rows of `HALVES` random halves of the tissue, at least half of the locations each.

    Parameters
    ----------
    xy_um
        float64 (n, 2): positions, each section's in a frame of its own.
    section
        int (n,): which section a location lies in.
    """
    rng = stream(seed, "domains/halves")
    found = []
    for _ in range(HALVES):
        patch = _patches(xy_um, section, rng)
        order = rng.permutation(patch.max() + 1)
        needed = 1 + np.searchsorted(np.cumsum(np.bincount(patch)[order]), len(patch) / 2)
        found.append(np.flatnonzero(np.isin(patch, order[:needed])))
    return found


def _patches(xy_um: np.ndarray, section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    patch, first = np.empty(len(xy_um), np.int64), 0
    for one in np.unique(section):
        rows = np.flatnonzero(section == one)
        centres = rng.choice(rows, min(PATCHES, len(rows)), replace=False)
        _, nearest = cKDTree(xy_um[centres]).query(xy_um[rows])
        patch[rows] = first + nearest
        first += len(centres)
    return patch

"""Coarse spots of fine bins: the counts of a Visium slide on the same tissue."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree


def hexagonal_grid(xy_um: np.ndarray, pitch_um: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres of a hexagonal grid over all positions, numbered as on a Visium slide.

    Returns
    -------
    centres
        float64 (m, 2), µm.
    row, col
        int (m,); odd rows hold odd columns, neighbours in a row are two columns apart.
    """
    low, span = xy_um.min(axis=0), np.ptp(xy_um, axis=0)
    step_x, step_y = pitch_um / 2, pitch_um * np.sqrt(3) / 2
    rows = np.arange(int(np.ceil(span[1] / step_y)) + 1)
    cols = np.arange(int(np.ceil(span[0] / step_x)) + 2)
    row, col = (part.ravel() for part in np.meshgrid(rows, cols, indexing="ij"))
    on_grid = (row % 2) == (col % 2)
    row, col = row[on_grid], col[on_grid]
    return low + np.column_stack([col * step_x, row * step_y]), row, col


def assign_spots(xy_um: np.ndarray, centres: np.ndarray, spot_um: float) -> np.ndarray:
    """Spot of each bin whose centre lies within a disc of diameter `spot_um`, else −1; int (n,)."""
    distance, nearest = cKDTree(centres).query(xy_um)
    return np.where(distance <= spot_um / 2, nearest, -1)


def sum_by(counts: sparse.csr_matrix, group: np.ndarray, n_groups: int) -> sparse.csr_matrix:
    """Sum rows into their groups, CSR (n_groups, G); rows of group −1 are left out."""
    members = np.flatnonzero(group >= 0)
    gather = sparse.csr_matrix(
        (np.ones(len(members), dtype=np.float32), (group[members], members)), shape=(n_groups, len(group))
    )
    return sparse.csr_matrix(gather @ counts)

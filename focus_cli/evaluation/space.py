"""Locations in µm: their pitch, their neighbours, Moran's I, blocks for the bootstrap."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree


def pitch_of(xy_um: np.ndarray) -> float:
    """Median distance of a location to its nearest neighbour in µm; 0 for fewer than two locations."""
    if len(xy_um) < 2:
        return 0.0
    distance, _ = cKDTree(xy_um).query(xy_um, k=2)
    return float(np.median(distance[:, 1]))


def neighbour_weights(xy_um: np.ndarray, k: int = 6) -> sparse.csr_matrix:
    """Row-normalised weights of the `k` nearest other locations, CSR (n, n)."""
    n = len(xy_um)
    k = min(k, n - 1)
    if k < 1:
        return sparse.csr_matrix((n, n))
    _, index = cKDTree(xy_um).query(xy_um, k=k + 1)
    # A location may not be first among locations at the same position: it is removed by its index.
    others = index != np.arange(n)[:, None]
    others[others.all(axis=1), -1] = False
    rows = np.repeat(np.arange(n), k)
    return sparse.csr_matrix((np.full(n * k, 1.0 / k), (rows, index[others])), shape=(n, n))


def morans_i(values: np.ndarray, weights: sparse.csr_matrix) -> np.ndarray:
    """Moran's I of each column: spatial autocorrelation (Moran 1950).

    Parameters
    ----------
    values
        (n, g), dense.
    weights
        Row-normalised spatial weights, CSR (n, n), so that n / S0 = 1.

    Returns
    -------
    float64 (g,); NaN for a column without variance.
    """
    z = np.asarray(values, dtype=np.float64)
    flat = np.ptp(z, axis=0) == 0
    z = z - z.mean(axis=0)
    total = np.einsum("ij,ij->j", z, z)
    lag = np.einsum("ij,ij->j", z, weights @ z)
    return np.divide(lag, total, out=np.full(z.shape[1], np.nan), where=(total > 0) & ~flat)


def spatial_blocks(xy_um: np.ndarray, side: int = 8) -> np.ndarray:
    """Number of the block of each location in a `side` × `side` grid over the section.

    Returns
    -------
    int64 (n,), counted from 0 without gaps: empty blocks have no number.
    """
    low, span = xy_um.min(axis=0), np.ptp(xy_um, axis=0)
    cell = np.floor(np.divide(xy_um - low, span, out=np.zeros_like(xy_um), where=span > 0) * side)
    cell = np.minimum(cell, side - 1).astype(np.int64)
    return np.unique(cell[:, 1] * side + cell[:, 0], return_inverse=True)[1].ravel()

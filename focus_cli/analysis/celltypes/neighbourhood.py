"""What lies around a location: its neighbours, the nearer and the more alike the more."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

_WANTED = 1500  # counts that determine a composition
_FEW, _MANY = 6, 36


def neighbours(xy: np.ndarray, depth: float, latent: np.ndarray | None = None) -> sparse.csr_matrix:
    """Weights of the locations around each location, itself left out.

    Gaussian in distance; where latent states are given also exponential in how far they differ, so that the other side
    of a border counts little. As many locations are reached as hold some 1,500 counts.

    Parameters
    ----------
    xy
        Positions in any unit, float64 (n, 2).
    depth
        Median counts of a location.
    latent
        float (n, D), or None.

    Returns
    -------
    CSR float64 (n, n), weights of at most 1.
    """
    n = len(xy)
    k = int(min(np.clip(np.ceil(_WANTED / max(depth, 1.0)), _FEW, _MANY), n - 1))
    if k < 1:
        return sparse.csr_matrix((n, n))
    tree = cKDTree(xy)
    # Beyond the ring of that many neighbours, and not on one: no tie hangs on the last digit of a coordinate.
    radius = 1.07 * float(np.median(tree.query(xy, k=k + 1)[0][:, k]))
    if radius <= 0:
        return sparse.csr_matrix((n, n))
    pairs = tree.query_pairs(radius, output_type="ndarray")
    one, two = np.concatenate([pairs, pairs[:, ::-1]]).T
    distance = np.linalg.norm(xy[one] - xy[two], axis=1) / radius
    weight = np.exp(-0.5 * (np.round(distance, 6) / 0.7) ** 2)
    if latent is not None and len(one):
        apart = ((latent[one] - latent[two]) ** 2).sum(axis=1)
        middle = float(np.median(apart))
        if middle > 0:
            weight = weight * np.exp(-apart / middle)
    graph = sparse.csr_matrix((weight, (one, two)), shape=(n, n))
    graph.sort_indices()
    return graph

"""Who lies near whom: graphs of all pairs of locations within a distance, whatever the platform."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

_SAMPLE = 20_000  # locations that tell the spacing
_NEIGHBOURS = 6


def spacing(xy: np.ndarray) -> float:
    """Median distance to the sixth neighbour: the pitch of a hexagonal array, √2 pitches of a square one.

    Parameters
    ----------
    xy
        float64 (n, 2), any unit; locations at the same place count once.
    """
    xy = np.unique(xy, axis=0)
    if len(xy) < 2:
        return 1.0
    centre = np.linalg.norm(xy - np.median(xy, axis=0), axis=1)
    inner = np.argsort(centre, kind="stable")[:_SAMPLE]  # the edge has fewer neighbours; order does not matter
    k = min(_NEIGHBOURS, len(xy) - 1)
    distance = cKDTree(xy).query(xy[inner], k=k + 1)[0][:, k]
    return float(np.median(distance))


def pairs_within(xy: np.ndarray, radius: float) -> sparse.csr_matrix:
    """Graph of all pairs of two locations at most `radius` apart: 1 for each, 0 on the diagonal.

    Parameters
    ----------
    xy
        float64 (n, 2).
    radius
        In the unit of `xy`. A thousandth more is let in, so that ties of a lattice do not depend on rounding.

    Returns
    -------
    scipy.sparse.csr_matrix
        float32 (n, n), symmetric.
    """
    n = len(xy)
    pairs = cKDTree(xy).query_pairs(radius * 1.001, output_type="ndarray").astype(np.int32)
    rows, columns = np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])
    return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(n, n))

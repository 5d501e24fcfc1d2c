"""What lies around a location: means of vectors under Gaussian kernels whose widths are in µm.

A width in µm means the same on every platform: a bin of 8 µm and a spot of 55 µm cover the same piece of
tissue. Where many locations lie within a kernel they are first gathered in cells of a third of its width, each at the
mean position of its members, so the work is linear in the number of locations; where a cell holds one location, nothing
is approximated.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

WIDTHS_UM = (50.0, 150.0)
REACH = 3.0  # widths: beyond it a kernel is below 0.012
CELL = 1 / 3  # of a width
_ROWS = 20_000


def kernel_means(xy_um: np.ndarray, values: np.ndarray, width_um: float, weight: np.ndarray) -> np.ndarray:
    """Weighted mean of `values` around each location.

    Parameters
    ----------
    xy_um
        float64 (n, 2).
    values
        float32 (n, D).
    width_um
        Standard deviation of the kernel.
    weight
        float64 (n,): what each location counts for; one without weight is described by those around it.

    Returns
    -------
    np.ndarray
        float32 (n, D); the location's own vector where no location with weight lies within reach.
    """
    # A sum depends on the order of its terms: positions decide it, not rows.
    order = np.lexsort((xy_um[:, 1], xy_um[:, 0]))
    place, mass, total = _gather(xy_um[order], values[order], weight[order], width_um * CELL)
    tree = cKDTree(place)
    out = np.empty_like(values, dtype=np.float32)
    for start in range(0, len(xy_um), _ROWS):
        rows = order[start : start + _ROWS]
        near = cKDTree(xy_um[rows]).sparse_distance_matrix(tree, REACH * width_um, output_type="coo_matrix").tocsr()
        near.sort_indices()
        kernel = sparse.csr_matrix((np.exp(-0.5 * (near.data / width_um) ** 2), near.indices, near.indptr), near.shape)
        sums, masses = kernel @ total, kernel @ mass
        alone = masses <= 1e-12
        out[rows] = np.where(alone[:, None], values[rows], sums / np.where(alone, 1, masses)[:, None])
    return out


def _gather(xy_um: np.ndarray, values: np.ndarray, weight: np.ndarray, cell_um: float):
    """Cells with weight: mean position, weight, and weighted sum of the values of their members."""
    code = np.floor((xy_um - xy_um.mean(axis=0)) / cell_um).astype(np.int64)
    _, member = np.unique(code, axis=0, return_inverse=True)
    member = member.ravel()
    joined = sparse.csr_matrix((weight, (member, np.arange(len(member)))), (member.max() + 1, len(member)))
    mass = np.asarray(joined.sum(axis=1)).ravel()
    held = mass > 0
    return (joined @ xy_um)[held] / mass[held, None], mass[held], (joined @ values.astype(np.float64))[held]


def neighbourhoods(
    xy_um: np.ndarray, values: np.ndarray, weight: np.ndarray, widths_um: tuple[float, ...] = WIDTHS_UM
) -> np.ndarray:
    """Means under every kernel side by side, float32 (n, widths · D)."""
    return np.concatenate([kernel_means(xy_um, values, width, weight) for width in widths_um], axis=1)


def slide_vector(location: np.ndarray, neighbourhood: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """One vector of a section, float32 (2 D + widths · D): mean and spread of locations, spread of neighbourhoods."""
    if not weight.any():
        weight = np.ones(len(location))
    w = weight / weight.sum()
    mean, around = w @ location.astype(np.float64), w @ neighbourhood.astype(np.float64)
    spread = np.sqrt(np.maximum(w @ (location - mean) ** 2, 0))
    between = np.sqrt(np.maximum(w @ (neighbourhood - around) ** 2, 0))
    return np.concatenate([mean, spread, between]).astype(np.float32)

"""Pooling over the tissue at several scales: the neighbourhood of a query point, at a cost linear in points.

Each scale has nodes: the locations themselves at fine scales, and groups of them (cells of a square grid
as wide as the kernel) at coarse ones. A query pools a fixed number of nearest nodes with Gaussian weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

SCALES = (0.35, 1.0, 2.0, 4.0, 8.0)  # kernel widths in units of the array's pitch
NEIGHBOURS = 13  # a location and two full rings of a square or hexagonal array


@dataclass(frozen=True)
class Level:
    """Nodes of one scale: `member[i]` is the node of location i; `xy` are the nodes' centroids in µm."""

    member: np.ndarray
    xy: np.ndarray
    width_um: float

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.xy)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum `values` (locations × …) over the members of each node."""
        members = sparse.csr_matrix(
            (np.ones(len(values), values.dtype), (self.member, np.arange(len(values)))),
            shape=(self.n_nodes, len(values)),
        )
        return np.asarray(members @ values)


@dataclass(frozen=True)
class Pooling:
    """All scales over one set of locations."""

    levels: tuple[Level, ...]
    trees: tuple[cKDTree, ...]

    @property
    def of_locations(self) -> list[int]:
        """Scales whose nodes are the locations themselves."""
        n = len(self.levels[0].member)
        return [s for s, level in enumerate(self.levels) if level.n_nodes == n]

    def neighbours(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nearest nodes of each query and their weights.

        Parameters
        ----------
        xy
            Queries × 2, µm.

        Returns
        -------
        index
            int64, scales × queries × NEIGHBOURS; row of a node within its level.
        weight
            float32, the same shape: exp(−d² / 2ℓ²); 0 where there are fewer nodes than NEIGHBOURS.
        """
        shape = (len(self.levels), len(xy), NEIGHBOURS)
        index, weight = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        for s, (level, tree) in enumerate(zip(self.levels, self.trees)):
            k = min(NEIGHBOURS, level.n_nodes)
            distance, nearest = tree.query(xy, k=k)
            index[s, :, :k] = nearest.reshape(len(xy), k)
            weight[s, :, :k] = np.exp(-0.5 * (distance.reshape(len(xy), k) / level.width_um) ** 2)
        return index, weight


def build_pooling(xy_um: np.ndarray, pitch_um: float) -> Pooling:
    """Make the nodes of every scale.

    Parameters
    ----------
    xy_um
        Locations × 2, µm.
    pitch_um
        Distance of neighbouring locations, µm; the unit of `SCALES`.
    """
    levels, locations = [], np.arange(len(xy_um))
    for scale in SCALES:
        width = scale * pitch_um
        if scale <= 1:
            levels.append(Level(locations, np.asarray(xy_um, float), width))
            continue
        cell = np.floor((xy_um - xy_um.min(axis=0)) / width).astype(np.int64)
        _, member = np.unique(cell @ np.array([1 << 32, 1]), return_inverse=True)
        size = np.bincount(member)
        centroid = np.stack([np.bincount(member, xy_um[:, axis]) / size for axis in range(2)], axis=1)
        levels.append(Level(member, centroid, width))
    return Pooling(tuple(levels), tuple(cKDTree(level.xy) for level in levels))

"""Experts that add up counts: of the gene everywhere, of the location itself, of its neighbours."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.experts.inputs import NotApplicable, Points, Shares, Visible

NEIGHBOURS = 6
_CLOSEST_UM = 1e-3  # avoids a division by zero at a distance of 0


class GeneMean:
    """A constant gene: its share over the whole section."""

    name = "gene_mean"

    def __init__(self, visible: Visible) -> None:
        self._level = visible.level.astype(np.float32)

    def at(self, points: Points) -> Shares:
        """Shares at points."""
        return lambda genes: np.tile(self._level[genes], (len(points.xy_um), 1))


class _Sums:
    """Sums of counts over sums of exposure, under weights of locations.

    A pseudo-count keeps a share from being 0, which would make a hidden count impossible: `_PRIOR` counts at the level
    of the gene.
    """

    _PRIOR = 20.0

    def __init__(self, visible: Visible) -> None:
        if not len(visible.measured):
            raise NotApplicable("no location is measured")
        self._visible, self._tree = visible, cKDTree(visible.xy_um[visible.measured])

    def _shares(self, weights: sparse.csr_matrix) -> Shares:
        visible = self._visible
        used = np.unique(weights.indices)
        local = weights[:, used]
        exposure = local @ visible.exposure[used] + self._PRIOR
        rows = visible.counts[used].tocsc()

        def shares(genes: np.ndarray) -> np.ndarray:
            counts = np.asarray((local @ rows[:, genes]).todense(), np.float32)
            counts += np.float32(self._PRIOR) * visible.level[genes].astype(np.float32)
            return counts / exposure[:, None].astype(np.float32)

        return shares

    def _nearest(self, points: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances and rows of the k nearest measured locations other than the point itself, Q × k."""
        measured = self._visible.measured
        spare = int((points.own >= 0).any())
        k = min(k + spare, len(measured))
        distance, index = self._tree.query(points.xy_um, k=k)
        distance, index = distance.reshape(len(points.xy_um), k), measured[index.reshape(len(points.xy_um), k)]
        if not spare:
            return distance, index
        other = index != points.own[:, None]
        order = np.argsort(~other, axis=1, kind="stable")[:, : k - 1]
        return np.take_along_axis(distance, order, 1), np.take_along_axis(index, order, 1)

    def _matrix(self, rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, n: int) -> sparse.csr_matrix:
        return sparse.csr_matrix((weights, (rows, columns)), shape=(n, len(self._visible.exposure)))


class OwnCounts(_Sums):
    """The counts of the location itself."""

    name = "own_counts"

    def at(self, points: Points) -> Shares:
        """Shares at points; at the level of the gene where a point is no location."""
        here = np.flatnonzero(points.own >= 0)
        return self._shares(self._matrix(here, points.own[here], np.ones(len(here)), len(points.xy_um)))


class Neighbours(_Sums):
    """The counts of the location and of its six nearest neighbours, added up."""

    name = "knn_smoothing"

    def at(self, points: Points) -> Shares:
        """Shares at points."""
        n = len(points.xy_um)
        _, index = self._nearest(points, NEIGHBOURS)
        here = np.flatnonzero(points.own >= 0)
        rows = np.concatenate([here, np.repeat(np.arange(n), index.shape[1])])
        columns = np.concatenate([points.own[here], index.ravel()])
        return self._shares(self._matrix(rows, columns, np.ones(len(rows)), n))


class InverseDistance(_Sums):
    """The six nearest other locations, weighted by the inverse square of their distance."""

    name = "inverse_distance"
    neighbours = NEIGHBOURS

    def weights(self, points: Points) -> sparse.csr_matrix:
        """Weights of the locations at points, CSR (Q, N); each row sums to 1."""
        n = len(points.xy_um)
        distance, index = self._nearest(points, self.neighbours)
        if not index.shape[1]:
            raise NotApplicable("no other location is measured")
        weight = np.maximum(distance, _CLOSEST_UM) ** -2.0
        weight /= weight.sum(axis=1, keepdims=True)
        return self._matrix(np.repeat(np.arange(n), index.shape[1]), index.ravel(), weight.ravel(), n)

    def at(self, points: Points) -> Shares:
        """Shares at points."""
        return self._shares(self.weights(points))


class Nearest(InverseDistance):
    """The nearest other location."""

    name = "nearest"
    neighbours = 1

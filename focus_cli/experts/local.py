"""Experts that add up counts: of the gene everywhere, of the location itself, of the locations around."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.experts.inputs import NotRunnable, Points, Shares, Visible

NEIGHBOURS = 6
_POWER = 2.0
_CLOSEST_UM = 1e-3  # avoids a division by zero for a source at the same position


def interpolation_weights(
    sources_um: np.ndarray, targets_um: np.ndarray, k: int, own: np.ndarray | None = None
) -> sparse.csr_matrix:
    """Inverse-distance weights (power 2) of the `k` nearest sources, rows sum to 1.

    Parameters
    ----------
    sources_um, targets_um
        Positions, (s, 2) and (t, 2).
    k
        Number of neighbours; 1 is the nearest source.
    own
        Source that is the target itself and is excluded, −1 if there is none, (t,).

    Returns
    -------
    CSR (t, s).
    """
    n_targets, n_sources = len(targets_um), len(sources_um)
    own = np.full(n_targets, -1) if own is None else own
    spare = int((own >= 0).any())
    k = min(k, n_sources - spare)
    if k < 1:
        raise NotRunnable("no other location is measured")
    distance, index = cKDTree(sources_um).query(targets_um, k=k + spare)
    distance, index = distance.reshape(n_targets, -1), index.reshape(n_targets, -1)
    if spare:
        others = index != own[:, None]
        others[others.all(axis=1), -1] = False
        distance, index = distance[others].reshape(-1, k), index[others].reshape(-1, k)
    weights = np.maximum(distance, _CLOSEST_UM) ** -_POWER
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(n_targets), k)
    return sparse.csr_matrix((weights.ravel(), (rows, index.ravel())), shape=(n_targets, n_sources))


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
            raise NotRunnable("no location is measured")
        self._visible = visible

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


class OwnCounts(_Sums):
    """The counts of the location itself."""

    name = "own_counts"

    def at(self, points: Points) -> Shares:
        """Shares at points; at the level of the gene where a point is no location."""
        here = np.flatnonzero(points.own >= 0)
        shape = (len(points.xy_um), len(self._visible.exposure))
        return self._shares(sparse.csr_matrix((np.ones(len(here)), (here, points.own[here])), shape=shape))


class InverseDistance(_Sums):
    """The six nearest other locations, weighted by the inverse square of their distance."""

    name = "inverse_distance"

    def weights(self, points: Points) -> sparse.csr_matrix:
        """Weights of the locations at points, CSR (Q, N); each row sums to 1."""
        visible = self._visible
        measured = visible.measured
        place = np.full(len(visible.exposure) + 1, -1)  # its last entry serves points that are no location
        place[measured] = np.arange(len(measured))
        near = interpolation_weights(visible.xy_um[measured], points.xy_um, NEIGHBOURS, place[points.own])
        shape = (len(points.xy_um), len(visible.exposure))
        return sparse.csr_matrix((near.data, measured[near.indices], near.indptr), shape=shape)

    def at(self, points: Points) -> Shares:
        """Shares at points."""
        return self._shares(self.weights(points))

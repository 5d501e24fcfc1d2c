"""Baselines that use positions only: mean, nearest, inverse distance."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.evaluation.baselines.inputs import Inputs, NotRunnable, constant, covering
from focus_cli.evaluation.normalise import dense_columns
from focus_cli.evaluation.prediction import Prediction

_NEIGHBOURS = 6
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


def gene_mean(inputs: Inputs) -> Prediction:
    """Mean of each gene over the observed locations, else over other sections, else over cells."""
    n_genes = len(inputs.genes)
    try:
        section, covered = inputs.seen()
        values = section.values(inputs.genes[covered])
        return constant("gene_mean", np.asarray(values.mean(axis=0)).ravel(), covered, inputs.n)
    except NotRunnable:
        if not inputs.training and inputs.cells is None:
            raise
    if inputs.training:
        from focus_cli.evaluation.baselines.cohort import shared_values

        covered, parts = shared_values(inputs)
        total = sum(np.asarray(part.sum(axis=0)).ravel() for part in parts)
        means = total / sum(part.shape[0] for part in parts)
    else:
        from focus_cli.evaluation.baselines.reference import cells_on

        positions, _, hidden = cells_on(inputs)
        means = np.asarray(hidden.mean(axis=0)).ravel()
        covered, _ = covering(positions, n_genes)
    return constant("gene_mean", means, covered, inputs.n)


def _interpolated(method: str, inputs: Inputs, k: int) -> Prediction:
    section, covered = inputs.seen()
    weights = interpolation_weights(section.xy_um, inputs.xy_um, k, inputs.own)
    values = section.values(inputs.genes[covered]).tocsc()
    _, position = covering(np.flatnonzero(covered), len(covered))

    def columns(genes: np.ndarray) -> np.ndarray:
        return (weights @ dense_columns(values, position[genes])).astype(np.float32)

    return Prediction(method, covered, columns)


def nearest(inputs: Inputs) -> Prediction:
    """The nearest other measured location."""
    return _interpolated("nearest", inputs, 1)


def inverse_distance(inputs: Inputs) -> Prediction:
    """The six nearest other measured locations, weighted by the inverse square of their distance."""
    return _interpolated("inverse_distance", inputs, _NEIGHBOURS)

"""Baselines for denoising: the visible counts themselves, neighbours, principal components."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from focus_cli.evaluation.baselines.inputs import Inputs, NotRunnable, covering
from focus_cli.evaluation.normalise import dense_columns, log1p_cp10k, row_sums
from focus_cli.evaluation.prediction import Prediction
from focus_cli.evaluation.space import neighbour_weights

_COMPONENTS = 20


def visible(inputs: Inputs) -> Prediction:
    """The measured values of the location."""
    section, covered = inputs.seen()
    values = section.values(inputs.genes[covered])[inputs.own_rows()].tocsc()
    _, position = covering(np.flatnonzero(covered), len(covered))
    return Prediction("visible", covered, lambda genes: dense_columns(values, position[genes]))


def knn_smoothing(inputs: Inputs) -> Prediction:
    """Counts of the location and its six nearest neighbours, summed, then normalised."""
    section, covered = inputs.seen()
    rows = inputs.own_rows()
    around = neighbour_weights(section.xy_um)
    gather = sparse.csr_matrix((around > 0).astype(np.float32) + sparse.identity(section.n, dtype=np.float32))
    gather = gather[rows]
    exposure = gather @ row_sums(section.counts)
    counts = section.counts_of(inputs.genes[covered]).tocsc()
    _, position = covering(np.flatnonzero(covered), len(covered))

    def columns(genes: np.ndarray) -> np.ndarray:
        return log1p_cp10k(gather @ counts[:, position[genes]], exposure).toarray()

    return Prediction("knn_smoothing", covered, columns)


def pca_smoothing(inputs: Inputs) -> Prediction:
    """The first 20 principal components of the scored genes' log1p CP10k."""
    from sklearn.decomposition import PCA

    section, covered = inputs.seen()
    rows = inputs.own_rows()
    values = section.values(inputs.genes[covered])
    k = min(_COMPONENTS, *(side - 1 for side in values.shape))
    if k < 1:
        raise NotRunnable("too few genes or locations for a principal component")
    pca = PCA(k, svd_solver="covariance_eigh").fit(values)
    scores = pca.transform(values)[rows].astype(np.float32)
    loadings, mean = pca.components_.astype(np.float32), pca.mean_.ravel().astype(np.float32)
    _, position = covering(np.flatnonzero(covered), len(covered))

    def columns(genes: np.ndarray) -> np.ndarray:
        here = position[genes]
        return scores @ loadings[:, here] + mean[here]

    return Prediction("pca_smoothing", covered, columns)

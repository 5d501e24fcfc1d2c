"""SpaGE: hidden genes from the nearest cells in a space that cells and locations share.

Abdelaal, Mourragui, Mahfouz & Reinders 2020, Nucleic Acids Research 48:e107 (doi:10.1093/nar/gkaa740); the shared space
is that of PRECISE (Mourragui et al. 2019): principal vectors between the principal components of the two domains.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from focus_cli.evaluation.baselines.inputs import Inputs, NotRunnable, covering
from focus_cli.evaluation.baselines.reference import cells_and_locations
from focus_cli.evaluation.baselines.transfer import moments, standardised
from focus_cli.evaluation.prediction import Prediction

COMPONENTS = 50
MIN_SIMILARITY = 0.3  # cosine between a pair of principal vectors
NEIGHBOURS = 50
_BLOCK = 4096  # locations at a time


def spage(inputs: Inputs) -> Prediction:
    """Hidden genes from the fifty nearest reference cells, by cosine in the shared space."""
    positions, targets, train, here = cells_and_locations(inputs)
    k = min(COMPONENTS, train.shape[1] // 2, train.shape[0] - 1, here.shape[0] - 1)
    if k < 1:
        raise NotRunnable("too few cells, locations or measured genes for principal components")
    cells = standardised(train)
    mean, scale = moments(here)
    vectors = _principal_vectors(_components(_correlation(train), k), _components(_correlation(here), k))
    if vectors.shape[1] == 0:
        raise NotRunnable("cells and locations share no principal vector")
    weights = _weights(_unit(cells @ vectors), here, mean, vectors * scale[:, None])
    covered, position = covering(positions, len(inputs.genes))

    def columns(genes: np.ndarray) -> np.ndarray:
        return np.asarray((weights @ targets[:, position[genes]]).todense(), dtype=np.float32)

    return Prediction("spage", covered, columns)


def _correlation(values: sparse.csr_matrix) -> np.ndarray:
    """Correlations of the columns, never made dense over rows; 0 for flat columns."""
    mean, scale = moments(values)
    values = values.astype(np.float64)
    gram = np.asarray((values.T @ values).todense()) / values.shape[0]
    return (gram - np.outer(mean, mean)) * np.outer(scale, scale)


def _components(correlation: np.ndarray, k: int) -> np.ndarray:
    """Leading eigenvectors, features × k."""
    return np.linalg.eigh(correlation)[1][:, ::-1][:, :k]


def _principal_vectors(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Vectors of the source in similar pairs, features × pairs."""
    left, similarity, _ = np.linalg.svd(source.T @ target)
    return source @ left[:, : int((similarity > MIN_SIMILARITY).sum())]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _weights(cells: np.ndarray, here: sparse.csr_matrix, mean: np.ndarray, vectors: np.ndarray) -> sparse.csr_matrix:
    """Weight of each cell for each location: 1 − d/Σd over the nearest cells of positive cosine; rows sum to 1."""
    k, offset, blocks = min(NEIGHBOURS, len(cells)), mean @ vectors, []
    for start in range(0, here.shape[0], _BLOCK):
        distance = 1 - _unit(here[start : start + _BLOCK] @ vectors - offset) @ cells.T
        nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(distance, nearest, axis=1)
        usable = near < 1
        total = np.where(usable, near, 0).sum(axis=1, keepdims=True)
        weight = np.where(usable, 1 - near / np.maximum(total, 1e-12), 0)
        # With a single cell, or none of positive cosine, all nearest cells are weighted equally.
        lone = usable.sum(axis=1, keepdims=True) < 2
        weight = np.where(lone, np.where(usable.any(axis=1, keepdims=True), usable, True), weight)
        weight = weight / weight.sum(axis=1, keepdims=True)
        indptr = np.arange(0, weight.size + 1, k)
        blocks.append(sparse.csr_matrix((weight.ravel(), nearest.ravel(), indptr), shape=(len(weight), len(cells))))
    return sparse.vstack(blocks).tocsr()

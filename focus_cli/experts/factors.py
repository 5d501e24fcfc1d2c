"""Principal components of the section: what its own locations share."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds

from focus_cli.core.random import stream
from focus_cli.experts.inputs import NotRunnable, Points, Shares, Visible

COMPONENTS = 20
FITTED_ON = 20_000  # locations at most, drawn by the seed
GENES = 4000  # the most abundant, which carry the components
_LEAST = 0.05  # of the level of a gene


class PrincipalComponents:
    """The first components of analytic Pearson residuals (Lause, Berens & Kobak 2021), read back as shares.

    With the level p of a gene and the exposure N of a location the residual is (y − N p) / √(N p). Its projection on
    the components, r̂, is the share p + r̂ √(p / N).
    """

    name = "pca_smoothing"

    def __init__(self, visible: Visible, seed: int = 0) -> None:
        rows = visible.measured
        total = np.asarray(visible.counts.sum(axis=0)).ravel()
        genes = np.sort(np.argsort(-total, kind="stable")[:GENES])
        genes = genes[total[genes] > 0]
        k = min(COMPONENTS, len(rows) - 1, len(genes) - 1)
        if k < 1:
            raise NotRunnable("too few genes or locations for a principal component")
        if len(rows) > FITTED_ON:
            rows = np.sort(stream(seed, "experts/components").choice(rows, FITTED_ON, replace=False))
        self._visible, self._genes = visible, genes
        self._root = np.sqrt(visible.level[genes])
        scaled, exposure = self._scaled(rows)
        _, _, vectors = svds(_centred(scaled, np.sqrt(exposure), self._root), k=k, v0=np.ones(min(scaled.shape)))
        # The sign of a vector is arbitrary: its largest entry decides.
        vectors = vectors[::-1].T
        self._vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(k)])

    def _scaled(self, rows: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
        """y / √(N p), CSR, rows × genes, and N."""
        visible = self._visible
        exposure = visible.exposure[rows]
        counts = visible.counts[rows][:, self._genes]
        return (sparse.diags(exposure**-0.5) @ counts @ sparse.diags(1 / self._root)).tocsr(), exposure

    def at(self, points: Points) -> Shares:
        """Shares at points; at the level of the gene where a point is no location."""
        level = self._visible.level
        here = np.flatnonzero(points.own >= 0)
        here = here[self._visible.exposure[points.own[here]] > 0]
        scaled, exposure = self._scaled(points.own[here])
        score = scaled @ self._vectors - np.sqrt(exposure)[:, None] * (self._root @ self._vectors)
        score = (score / np.sqrt(exposure)[:, None]).astype(np.float32)
        carried = np.full(len(level), -1)
        carried[self._genes] = np.arange(len(self._genes))

        def shares(genes: np.ndarray) -> np.ndarray:
            p = level[genes].astype(np.float32)
            found = np.tile(p, (len(points.xy_um), 1))
            column = np.flatnonzero(carried[genes] >= 0)
            loadings = (self._root[:, None] * self._vectors)[carried[genes[column]]].astype(np.float32)
            found[np.ix_(here, column)] += score @ loadings.T
            return np.maximum(found, _LEAST * p)

        return shares


def _centred(scaled: sparse.csr_matrix, root_exposure: np.ndarray, root_level: np.ndarray) -> LinearOperator:
    """Pearson residuals as an operator: sparse counts less the product of two vectors."""
    return LinearOperator(
        scaled.shape,
        matvec=lambda v: scaled @ v.ravel() - root_exposure * (root_level @ v.ravel()),
        rmatvec=lambda v: scaled.T @ v.ravel() - root_level * (root_exposure @ v.ravel()),
        dtype=np.float64,
    )

"""Ridge regression of shares on image features, and what it leaves at the neighbours."""

from __future__ import annotations

import numpy as np

from focus_cli.core.statistics.resampling import FOLDS, tissue_folds
from focus_cli.experts.inputs import NotRunnable, Points, Shares, Visible
from focus_cli.experts.local import NEIGHBOURS, InverseDistance

PENALTIES = tuple(10.0 ** np.arange(-3, 2.5))  # times the mean of the diagonal of the Gram matrix
_LEAST = 0.05  # of the level of a gene


class ImageRidge:
    """Quasi-Poisson ridge on shares, in closed form for all genes at once.

    A count is y ≈ N p (1 + x · b) with variance N p; weighted least squares give b = (Xᵀ N X + λ)⁻¹ Xᵀ (y / p − N),
    with one Gram matrix for all genes. The penalty is that under which the squares over blocks of tissue that were left
    out are least, one for all genes.
    """

    name = "ridge"

    def __init__(self, visible: Visible) -> None:
        if visible.features is None:
            raise NotRunnable("there is no image")
        self.visible, rows = visible, visible.measured
        raw = visible.features[rows].astype(np.float64)
        exposure = visible.exposure[rows]
        self._mean = (exposure @ raw) / exposure.sum()
        self._sd = np.sqrt((exposure @ (raw - self._mean) ** 2) / exposure.sum())
        self._sd[self._sd < 1e-8] = np.inf
        x = self._standardised(visible.features[rows])
        fold = tissue_folds(visible.xy_um[rows])
        counts = visible.counts[rows]
        grams, crosses = [], []
        for k in range(FOLDS):
            here = np.flatnonzero(fold == k)
            grams.append((x[here] * exposure[here, None]).T @ x[here])
            right = np.asarray(counts[here].T @ x[here]).T / visible.level
            crosses.append(right - (exposure[here] @ x[here])[:, None])
        self.coefficients = _solved(sum(grams), sum(crosses), self._penalty(grams, crosses)).astype(np.float32)

    def _penalty(self, grams: list[np.ndarray], crosses: list[np.ndarray]) -> float:
        """The factor of `PENALTIES` with the least weighted error on blocks that were left out."""
        gram, cross = sum(grams), sum(crosses)
        level = self.visible.level
        best, chosen = np.inf, PENALTIES[-1]
        for penalty in PENALTIES:
            error = 0.0
            for g, c in zip(grams, crosses):
                b = _solved(gram - g, cross - c, penalty)
                # Σ N p (x·b)² − 2 Σ (y − N p) x·b, the part of the weighted squares that depends on b.
                error += float(level @ ((b * (g @ b)).sum(axis=0) - 2 * (b * c).sum(axis=0)))
            if error < best:
                best, chosen = error, penalty
        return chosen

    def _standardised(self, features: np.ndarray) -> np.ndarray:
        return np.clip((features.astype(np.float64) - self._mean) / self._sd, -5, 5)

    def relative(self, features: np.ndarray, genes: np.ndarray) -> np.ndarray:
        """Shares over the level of the gene, float32, n × genes."""
        x = self._standardised(features).astype(np.float32)
        return np.maximum(1 + x @ self.coefficients[:, genes], _LEAST)

    def at(self, points: Points) -> Shares:
        """Shares at points."""
        features = points.features
        if features is None:
            raise NotRunnable("the points have no image features")
        level = self.visible.level.astype(np.float32)
        return lambda genes: self.relative(features, genes) * level[genes]


class ImageRidgeResiduals:
    """The ridge, times what it leaves at the six nearest other locations, by inverse distance.

    The factor is (Σ w y + κ) / (Σ w N s + κ), a gamma–Poisson estimate with κ prior counts, where s are the ridge's
    shares.
    """

    name = "ridge_residuals"
    _PRIOR = 2.0

    def __init__(self, ridge: ImageRidge) -> None:
        self._ridge, self._around = ridge, InverseDistance(ridge.visible)

    def at(self, points: Points) -> Shares:
        """Shares at points."""
        visible, ridge = self._ridge.visible, self._ridge
        weights = self._around.weights(points) * float(NEIGHBOURS)
        used = np.unique(weights.indices)
        features = visible.features
        if features is None:
            raise NotRunnable("there is no image")
        here = features[used]
        local, rows = weights[:, used], visible.counts[used].tocsc()
        exposure, plain = visible.exposure[used], ridge.at(points)
        level = visible.level.astype(np.float32)

        def shares(genes: np.ndarray) -> np.ndarray:
            expected = exposure[:, None] * (ridge.relative(here, genes) * level[genes])
            found = np.asarray((local @ rows[:, genes]).todense())
            return (plain(genes) * (found + self._PRIOR) / (local @ expected + self._PRIOR)).astype(np.float32)

        return shares


def _solved(gram: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    ridge = penalty * max(float(np.diag(gram).mean()), 1e-12)
    return np.linalg.solve(gram + ridge * np.eye(len(gram)), cross)

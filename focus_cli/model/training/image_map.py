"""Linear maps of morphology in closed form: to the latent, where training starts, and to the depth.

With statistics :math:`t_i \\sim N(E_i A z_i, E_i A)` of a location's counts and :math:`z_i = M f_i`, the
penalised likelihood of the map M has the normal equations
:math:`\\sum_i E_i f_i f_i^T M^T A + \\lambda M^T = \\sum_i f_i t_i^T`. They need only F × F and F × K sums of each
sample, whatever the number of locations. The penalty is chosen by cross-validation over blocks of tissue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from focus_cli.core.random import stream
from focus_cli.core.statistics.resampling import FOLDS, tissue_folds
from focus_cli.model.conditioning import SampleData
from focus_cli.model.network import ImageMaps, LinearMap
from focus_cli.model.priors import SpatialPrior, panel_statistics

PENALTIES = 10.0 ** np.arange(-4, 3.5)  # relative to the mean of the normal matrices' diagonals
# Penalties of the maps for tissue unlike training, where only the strongest associations hold.
FOREIGN_PENALTY = 100.0  # to the latent
FOREIGN_DEPTH_PENALTY = 10.0
MAX_SAMPLES = 512  # that the maps are fitted on
_ROWS = 16384  # of features at a time


@dataclass(frozen=True)
class _Sums:
    """Of one fold of one sample: Σ w f fᵀ (F × F), Σ f tᵀ (F × K) and the targets' information A (K × K)."""

    features: np.ndarray
    cross: np.ndarray
    information: np.ndarray

    def apply(self, weights: np.ndarray) -> np.ndarray:
        """Left side of the normal equations without the penalty."""
        return self.features @ weights @ self.information

    def gain(self, weights: np.ndarray) -> float:
        """Log-likelihood of the map over that of a zero map."""
        return float(np.sum(weights * self.cross) - 0.5 * np.sum(weights * self.apply(weights)))


def _sums(
    data: SampleData,
    kept: np.ndarray,
    weight: np.ndarray,
    targets: np.ndarray,
    information: np.ndarray,
    offset: int,
    scale: float = 1.0,
) -> list[_Sums]:
    """Sums of every fold of a sample over its locations `kept`, a block of rows at a time; features times `scale`."""
    fold, n = tissue_folds(data.xy_um[kept], offset), data.n_features + 1
    features, cross = np.zeros((FOLDS, n, n)), np.zeros((FOLDS, n, targets.shape[1]))
    for start in range(0, len(kept), _ROWS):
        part = slice(start, start + _ROWS)
        f = scale * data.location_features[kept[part]].astype(np.float64)
        f = np.concatenate([f, np.ones((len(f), 1))], axis=1)
        for k in range(FOLDS):
            here = fold[part] == k
            features[k] += (f[here] * weight[part][here, None]).T @ f[here]
            cross[k] += f[here].T @ targets[part][here]
    return [_Sums(features[k], cross[k], information) for k in range(FOLDS)]


def _solve(sums: Sequence[_Sums], penalty: float) -> np.ndarray:
    shape = sums[0].cross.shape
    right = sum(s.cross for s in sums)
    diagonal = sum(np.outer(np.diag(s.features), np.diag(s.information)) for s in sums)
    ridge = penalty * diagonal.mean()

    def apply(flat: np.ndarray) -> np.ndarray:
        weights = flat.reshape(shape)
        return (sum(s.apply(weights) for s in sums) + ridge * weights).ravel()

    size = right.size
    scale = 1 / (diagonal + ridge).ravel()
    solution, _ = cg(
        LinearOperator((size, size), apply),
        right.ravel(),
        M=LinearOperator((size, size), lambda v: scale * v),
        rtol=1e-6,
        maxiter=1000,
    )
    return solution.reshape(shape)


def _cross_validated(parts: Sequence[Sequence[_Sums]]) -> np.ndarray | None:
    """The map (F × K) under the penalty that predicts left-out blocks best; None where none does."""
    best, chosen = 0.0, None
    for penalty in PENALTIES:
        gain = 0.0
        for fold in range(FOLDS):
            weights = _solve([s for sample in parts for j, s in enumerate(sample) if j != fold], penalty)
            gain += sum(sample[fold].gain(weights) for sample in parts)
        if gain > best:
            best, chosen = gain, penalty
    return None if chosen is None else _solve([s for sample in parts for s in sample], chosen)


class _LatentSums:
    """Of the statistics of counts on the image, sample by sample."""

    def __init__(self, prior: SpatialPrior) -> None:
        self._prior, self.parts = prior, []

    def add(self, data: SampleData) -> None:
        prior, kept, rows = self._prior, np.flatnonzero(data.exposure > 0), self._prior.rows(data.names)
        panel = panel_statistics(prior.loadings[rows], data.baseline(prior, rows)[rows], np.ones(len(rows), bool))
        t, exposure = panel(data.counts[kept], data.exposure[kept])
        information = (panel.basis * panel.precision) @ panel.basis.T
        self.parts.append(_sums(data, kept, exposure, t @ panel.basis.T, information, len(self.parts)))

    def solve(self, n_features: int) -> tuple[LinearMap, LinearMap]:
        weights = _cross_validated(self.parts) if self.parts else None
        if weights is None:
            nothing = LinearMap.of(np.zeros((n_features + 1, self._prior.n_factors)))
            return nothing, nothing
        foreign = _solve([s for sample in self.parts for s in sample], FOREIGN_PENALTY)
        return LinearMap.of(weights), LinearMap.of(foreign)


class _DepthSums:
    """Of the log of the counts on the image, sample by sample; and the samples' levels.

    Features standardised within a slide do not show that one slide has more contrast than another, and depth follows
    the contrast: features are multiplied with that of the slide.
    """

    def __init__(self) -> None:
        self.levels, self.parts, self.contrasts = [], [], []

    def add(self, data: SampleData, with_image: bool) -> None:
        kept = np.flatnonzero(data.exposure > 0)
        log = np.log(data.exposure[kept])
        if with_image:
            centred, one = (log - log.mean())[:, None], np.ones((1, 1))
            scale = float(np.exp(data.contrast - (self.contrasts or [data.contrast])[0]))
            self.parts.append(_sums(data, kept, np.ones(len(kept)), centred, one, len(self.levels), scale))
            self.contrasts.append(data.contrast)
        self.levels.append(np.median(log))

    def solve(self, n_features: int) -> tuple[np.ndarray, np.ndarray, float, float]:
        level = float(np.mean(self.levels))
        contrast = float(np.mean(self.contrasts)) if self.contrasts else 0.0
        weights = _cross_validated(self.parts) if self.parts else None
        if weights is None:
            nothing = np.zeros(n_features, np.float32)
            return nothing, nothing, level, contrast
        foreign = _solve([s for sample in self.parts for s in sample], FOREIGN_DEPTH_PENALTY)
        # The intercept is the sample's own level, which is stated apart.
        maps = (np.exp(contrast - self.contrasts[0]) * found[:-1, 0] for found in (weights, foreign))
        return *(found.astype(np.float32) for found in maps), level, contrast


def fit_maps(samples: Sequence[SampleData], prior: SpatialPrior, seed: int = 0) -> ImageMaps:
    """Fit the maps from morphology to the latent and to the log of a location's counts.

    Each sample is read once, and released. Beyond `MAX_SAMPLES` samples the maps are fitted on as many,
    drawn by `seed`: the sums of a sample take megabytes, and solving takes time with every one.

    Parameters
    ----------
    samples
        Those without an image only give their depth.
    prior
        Its genes must include the panels'.
    """
    latent, depth, n_features = _LatentSums(prior), _DepthSums(), 0
    drawn = set(range(len(samples)))
    if len(samples) > MAX_SAMPLES:
        drawn = set(stream(seed, "train/image map").permutation(len(samples))[:MAX_SAMPLES].tolist())
    for number, data in enumerate(samples):
        n_features = data.n_features
        fitted_on = number in drawn and data.raster is not None
        if fitted_on:
            latent.add(data)
        depth.add(data, fitted_on)
    near, foreign = latent.solve(n_features)
    return ImageMaps(near, foreign, *depth.solve(n_features))

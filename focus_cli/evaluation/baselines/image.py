"""Baselines on the same image features as the model: ridge, and ridge with interpolated residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from focus_cli.evaluation.baselines.cohort import shared_values
from focus_cli.evaluation.baselines.inputs import Inputs, NotRunnable, covering
from focus_cli.evaluation.baselines.ridge import Ridge, block_folds, fit_ridge
from focus_cli.evaluation.normalise import dense_columns
from focus_cli.evaluation.prediction import Prediction
from focus_cli.evaluation.space import spatial_blocks
from focus_cli.experts import NEIGHBOURS, interpolation_weights

_COMPONENTS = 256


@dataclass(frozen=True)
class _Fit:
    model: Ridge
    covered: np.ndarray
    values: sparse.csc_matrix  # training targets
    at_sources: np.ndarray  # training features
    at_targets: np.ndarray


def _standardise(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    mean, std = like.mean(axis=0, dtype=np.float64), like.std(axis=0, dtype=np.float64)
    scale = np.divide(1.0, std, out=np.zeros_like(std), where=std > 1e-8)
    return ((values - mean) * scale).astype(np.float32)


def _reduce(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the first 256 principal components of the training features, if there are more."""
    if train.shape[1] <= _COMPONENTS or len(train) <= 2:
        return train, test
    from sklearn.decomposition import PCA

    pca = PCA(min(_COMPONENTS, len(train) - 1), svd_solver="covariance_eigh").fit(train)
    return pca.transform(train).astype(np.float32), pca.transform(test).astype(np.float32)


def _fit_here(inputs: Inputs) -> _Fit:
    """Train on the measured locations of the observed section itself."""
    section, covered = inputs.seen()
    if section.image is None:
        raise NotRunnable("--observed has no image")
    raw = section.image(section.xy_um)
    train, test = _standardise(raw, raw), _standardise(section.image(inputs.xy_um), raw)
    train, test = _reduce(train, test)
    values = section.values(inputs.genes[covered])
    model = fit_ridge(train, values, block_folds(spatial_blocks(section.xy_um), inputs.seed))
    return _Fit(model, covered, values.tocsc(), train, test)


def _fit_elsewhere(inputs: Inputs) -> _Fit:
    """Train on other sections; features are standardised within each, as stains differ."""
    observed = inputs.observed
    if observed is None or observed.image is None:
        raise NotRunnable("needs --observed with an image")
    if not inputs.training:
        raise NotRunnable("the scored genes are measured nowhere in --observed, and there is no --training")
    if any(section.image is None for section in inputs.training):
        raise NotRunnable("a --training sample has no image")
    covered, parts = shared_values(inputs)
    raw = [section.image(section.xy_um) for section in inputs.training]
    here = observed.image(inputs.xy_um)
    if any(part.shape[1] != here.shape[1] for part in raw):
        raise NotRunnable("the --training samples have other image features than --observed")
    train = np.concatenate([_standardise(part, part) for part in raw])
    train, test = _reduce(train, _standardise(here, here))
    values = sparse.csr_matrix(sparse.vstack(parts))
    if len(raw) > 1:
        folds = np.repeat(np.arange(len(raw)), [len(part) for part in raw])
    else:
        folds = block_folds(spatial_blocks(inputs.training[0].xy_um), inputs.seed)
    return _Fit(fit_ridge(train, values, folds), covered, values.tocsc(), train, test)


def ridge(inputs: Inputs) -> Prediction:
    """Ridge on image features, trained where the scored genes are measured: here, else on other sections."""
    try:
        fit = _fit_here(inputs)
    except NotRunnable:
        if not inputs.training:
            raise
        fit = _fit_elsewhere(inputs)
    _, position = covering(np.flatnonzero(fit.covered), len(fit.covered))

    def columns(genes: np.ndarray) -> np.ndarray:
        return fit.model.columns(fit.at_targets, position[genes])

    return Prediction("ridge", fit.covered, columns)


def ridge_residuals(inputs: Inputs) -> Prediction:
    """Ridge on image features plus what it misses at the six nearest other locations, by inverse distance."""
    fit = _fit_here(inputs)
    weights = interpolation_weights(inputs.observed.xy_um, inputs.xy_um, NEIGHBOURS, inputs.own)
    _, position = covering(np.flatnonzero(fit.covered), len(fit.covered))

    def columns(genes: np.ndarray) -> np.ndarray:
        here = position[genes]
        missed = dense_columns(fit.values, here) - fit.model.columns(fit.at_sources, here)
        return (fit.model.columns(fit.at_targets, here) + weights @ missed).astype(np.float32)

    return Prediction("ridge_residuals", fit.covered, columns)

"""Baselines that use positions only: mean, nearest, inverse distance."""

from __future__ import annotations

import numpy as np

from focus_cli.evaluation.baselines.inputs import Inputs, NotRunnable, constant, covering
from focus_cli.evaluation.normalise import dense_columns
from focus_cli.evaluation.prediction import Prediction
from focus_cli.experts import NEIGHBOURS, interpolation_weights


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
    return _interpolated("inverse_distance", inputs, NEIGHBOURS)

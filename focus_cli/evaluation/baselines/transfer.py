"""Carrying a ridge from one domain (cells, other sections) to the locations of another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from focus_cli.evaluation.baselines.ridge import Ridge
from focus_cli.evaluation.metrics import FLAT

MAX_ROWS = 20_000  # training rows of a transfer; more are drawn from by the seed


def moments(values: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and 1/standard deviation of each column (0 for one that is flat up to rounding), float64."""
    values = values.astype(np.float64)  # squares in float32 differ from the square of the mean by their rounding
    mean = np.asarray(values.mean(axis=0)).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return mean, np.divide(1.0, std, out=np.zeros_like(std), where=std > FLAT * np.sqrt(square))


def standardised(values: sparse.csr_matrix) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1 within this domain, float32 dense."""
    mean, scale = moments(values)
    return ((values.toarray() - mean) * scale).astype(np.float32)


def transferred(model: Ridge, here: sparse.csr_matrix, position: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Predictions at locations whose features are standardised within their own domain, never made dense.

    Parameters
    ----------
    model
        Fitted on standardised features.
    here
        log1p CP10k of the same features at the locations, CSR (n, F).
    position
        Scored gene → its column in the model.
    """
    mean, scale = moments(here)
    coef = model.coef * scale[:, None]
    intercept = model.intercept - mean @ coef

    def columns(genes: np.ndarray) -> np.ndarray:
        return np.asarray(here @ coef[:, position[genes]] + intercept[position[genes]], dtype=np.float32)

    return columns

"""Several p-values of one hypothesis as one, and q-values over many hypotheses."""

from __future__ import annotations

import numpy as np
from scipy.stats import false_discovery_control

_SMALLEST = 1e-300


def cauchy_combination(p: np.ndarray) -> np.ndarray:
    """One p-value from several that may depend on each other (Liu & Xie 2020, doi:10.1080/01621459.2018.1554485).

    Parameters
    ----------
    p
        float (m, k), p-values of m hypotheses; NaN where one was not tried.

    Returns
    -------
    numpy.ndarray
        float64 (m,); NaN where none was tried.
    """
    p = np.asarray(p, np.float64)
    tried = np.isfinite(p)
    bounded = np.clip(np.where(tried, p, 0.5), _SMALLEST, 1 - 1e-6)
    # tan((1/2 − p) π) loses its digits for small p, where it is 1 / (p π).
    score = np.where(bounded < 1e-12, 1 / (bounded * np.pi), np.tan((0.5 - bounded) * np.pi))
    many = tried.sum(axis=1)
    mean = np.where(tried, score, 0).sum(axis=1) / np.maximum(many, 1)
    with np.errstate(divide="ignore"):
        combined = np.where(mean > 1e12, 1 / (np.maximum(mean, 1e-300) * np.pi), 0.5 - np.arctan(mean) / np.pi)
    return np.where(many > 0, np.clip(combined, _SMALLEST, 1.0), np.nan)


def q_values(p: np.ndarray) -> np.ndarray:
    """Benjamini–Hochberg q-values of those that were tested; NaN stays NaN and does not count."""
    p = np.asarray(p, np.float64)
    q = np.full(len(p), np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested], method="bh")
    return q

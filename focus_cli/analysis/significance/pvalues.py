"""Upper tails from three moments, combined p-values and q-values."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincc
from scipy.stats import false_discovery_control, norm

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


_STRAIGHT = 1e-3  # skewness below which it is taken for a normal


def upper_tail(statistic: np.ndarray, mean: np.ndarray, variance: np.ndarray, third: np.ndarray) -> np.ndarray:
    """P(T ≥ statistic), float64, broadcast; `third` is the third central moment.

    A left-skewed T is taken for a normal: its upper tail is the shorter one, so that this errs to caution.
    """
    variance = np.maximum(variance, 1e-300)
    z = (statistic - mean) / np.sqrt(variance)
    skew = np.maximum(third, 0) / variance**1.5
    shape = 4 / np.maximum(skew, _STRAIGHT) ** 2
    # T = mean + sd (G − shape) / √shape with a gamma G of that shape.
    gamma = gammaincc(shape, np.maximum(shape + z * np.sqrt(shape), 0))
    return np.clip(np.where(skew > _STRAIGHT, gamma, norm.sf(z)), 1e-300, 1.0)

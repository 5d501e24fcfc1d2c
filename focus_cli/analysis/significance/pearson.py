"""Tail of a distribution of which three moments are known (Pearson type III, a shifted gamma)."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincc
from scipy.stats import norm

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

r"""How sure a mixture may be of a location.

The probabilities of a mixture are nearly always near 0 or 1: its axes are not independent given the domain, and tissue
is not Gaussian. They are flattened,

.. math:: q_k \propto p_k^{\,b}, \qquad 0 < b \le 1

(Guo et al. 2017, arXiv:1706.04599, with b = 1/T), with the b under which the probabilities of one half of the tissue
foretell best, by mean log likelihood, what the mixtures of the other halves call a location. No label has a part in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

FLATTEST = 1 / 64
_FLOOR = 1e-12


def flattened(probability: np.ndarray, exponent: float) -> np.ndarray:
    """Probabilities (n, domains) to a power, summing to 1 again; float64."""
    logs = exponent * np.log(np.maximum(probability, _FLOOR, dtype=np.float64))
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sharpness(maps: Sequence[np.ndarray]) -> float:
    """The exponent b of `flattened` for aligned probabilities (n, domains) of two halves or more."""
    called = sum(np.eye(one.shape[1])[one.argmax(axis=1)] for one in maps)

    def surprise(log_exponent: float) -> float:
        total = 0.0
        for one in maps:
            others = called - np.eye(one.shape[1])[one.argmax(axis=1)]
            total -= np.sum(others * np.log(np.maximum(flattened(one, np.exp(log_exponent)), _FLOOR)))
        return total

    return float(np.exp(minimize_scalar(surprise, bounds=(np.log(FLATTEST), 0.0), method="bounded").x))

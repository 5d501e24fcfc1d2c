r"""Stability of domains: random halves of the tissue, and the sharpness of probabilities that predicts between them.

Halves consist of whole patches, because the neighbours of a location carry its information. Each section is divided
into patches by the nearest of `PATCHES` random locations, so that no axis of the slide matters.

The probabilities of a mixture are nearly always near 0 or 1, because its axes are not independent given the domain and
tissue is not Gaussian. They are flattened,

.. math:: q_k \propto p_k^{\,b}, \qquad 0 < b \le 1

(Guo et al. 2017, arXiv:1706.04599, with b = 1/T). The exponent b maximises the mean log likelihood that the
probabilities of one half give to the domains called by the mixtures of the other halves. No label is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.spatial import cKDTree

from focus_cli.core.random import stream

HALVES = 8
PATCHES = 36  # of a section


def halves(xy_um: np.ndarray, section: np.ndarray, seed: int) -> list[np.ndarray]:
    """Rows of `HALVES` random halves of the tissue, at least half of the locations each.

    Parameters
    ----------
    xy_um
        float64 (n, 2): positions, each section's in a separate frame.
    section
        int (n,): which section a location lies in.
    """
    rng = stream(seed, "domains/halves")
    found = []
    for _ in range(HALVES):
        patch = _patches(xy_um, section, rng)
        order = rng.permutation(patch.max() + 1)
        needed = 1 + np.searchsorted(np.cumsum(np.bincount(patch)[order]), len(patch) / 2)
        found.append(np.flatnonzero(np.isin(patch, order[:needed])))
    return found


def _patches(xy_um: np.ndarray, section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    patch, first = np.empty(len(xy_um), np.int64), 0
    for one in np.unique(section):
        rows = np.flatnonzero(section == one)
        centres = rng.choice(rows, min(PATCHES, len(rows)), replace=False)
        _, nearest = cKDTree(xy_um[centres]).query(xy_um[rows])
        patch[rows] = first + nearest
        first += len(centres)
    return patch


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

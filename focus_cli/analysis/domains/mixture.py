"""Domains as a mixture of Gaussians over neighbourhood vectors, and how many of them come out again.

Components either share one covariance ("tied": domains differ in where they lie, tissue varies within each of them in
the same ways, and an axis counts by what separates on it) or are round ("spherical": the axes on which tissue varies
most count most). Both hold with a few hundred locations, where a full covariance per domain does not. A mixture is
fitted on at most `LANDMARKS` locations and evaluated on all, so the work is linear.

The number of domains and the covariance are those under which two halves of the tissue make the same map (Lange et al.
2004, doi:10.1162/089976604773717621): mixtures are fitted on random halves (`halves`), each
assigns all locations, and the maps are compared by the adjusted Rand index. No label has a part in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from focus_cli.core.random import stream

LANDMARKS = 10_000
AXES = 15
MAX_DOMAINS = 15
COVARIANCES = ("tied", "spherical")
MIN_PER_DOMAIN = 20  # locations
TIE = 0.02  # of stability: within it more domains win
_STARTS = 5
_ROWS = 50_000


@dataclass(frozen=True)
class Axes:
    """Principal axes of neighbourhood vectors."""

    centre: np.ndarray
    components: np.ndarray

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """float64 (n, axes)."""
        return (np.asarray(vectors, np.float64) - self.centre) @ self.components.T


def fit_axes(vectors: np.ndarray) -> Axes:
    """At most `AXES` principal axes of vectors (n, D)."""
    pca = PCA(min(AXES, *vectors.shape), svd_solver="full").fit(np.asarray(vectors, np.float64))
    real = pca.explained_variance_ > 1e-9 * max(pca.explained_variance_[0], 1e-300)
    return Axes(pca.mean_, pca.components_[real])


def landmarks(values: np.ndarray, seed: int) -> np.ndarray:
    """Rows (≤ `LANDMARKS`) to fit on, in an order that belongs to the values and not to their rows."""
    order = np.argsort(values[:, 0], kind="stable")
    if len(order) <= LANDMARKS:
        return order
    chosen = stream(seed, "domains/landmarks").choice(len(order), LANDMARKS, replace=False)
    return order[np.sort(chosen)]


def fit_mixture(
    values: np.ndarray, n_domains: int, covariance: str, seed: int, starts: int = _STARTS
) -> GaussianMixture:
    """Gaussians with a covariance of one of `COVARIANCES`, the best of several starts."""
    spread = float(values.var(axis=0).mean())
    return GaussianMixture(
        n_domains, covariance_type=covariance, n_init=starts, reg_covar=1e-4 * spread, random_state=seed, max_iter=200
    ).fit(values)


def probabilities(mixture: GaussianMixture, values: np.ndarray) -> np.ndarray:
    """Share of each domain at each location, float32 (n, domains)."""
    parts = [
        mixture.predict_proba(values[start : start + _ROWS]).astype(np.float32)
        for start in range(0, len(values), _ROWS)
    ]
    return np.concatenate(parts)


def half_fits(
    values: np.ndarray, halves: Sequence[np.ndarray], n_domains: int, covariance: str, seed: int
) -> Iterable[GaussianMixture]:
    """Mixtures fitted on halves of the landmarks' values, each given as rows."""
    for rows in halves:
        yield fit_mixture(values[rows], n_domains, covariance, seed, starts=2)


def stability(values: np.ndarray, halves: Sequence[np.ndarray], n_domains: int, covariance: str, seed: int) -> float:
    """Mean adjusted Rand index between the maps of the halves."""
    maps = [mixture.predict(values) for mixture in half_fits(values, halves, n_domains, covariance, seed)]
    return float(np.mean([adjusted_rand_score(a, b) for a, b in combinations(maps, 2)]))


@dataclass(frozen=True)
class Trial:
    """A number of domains and a covariance, and how far halves agree under them."""

    number: int
    covariance: str
    stability: float


def choose(trials: Sequence[Trial]) -> Trial:
    """The most stable; of those within `TIE` of it the one with most domains, and of these the most stable."""
    best = max(trial.stability for trial in trials)
    close = [trial for trial in trials if trial.stability >= best - TIE]
    return max(close, key=lambda trial: (trial.number, trial.stability))


def aligned(other: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Columns of `other` put under the domains of `own` (both n × domains) that share most of their locations."""
    _, columns = linear_sum_assignment(own.T.astype(np.float64) @ other, maximize=True)
    return other[:, columns]

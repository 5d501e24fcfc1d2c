"""How far a location lies from all that a head was fitted on, in units of a border.

The distance is the mean of those to the nearest locations of the fit, on standardised features. The border holds 99 %
of the distances that locations of one donor have to those of all others: to be of another donor does not make a
location unlike training, to be another tissue does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 5
QUANTILE = 0.99
LIMIT = 4_000  # locations that are kept: 4,000 × 64 values are 1 MB


@dataclass(frozen=True)
class OodSupport:
    """Locations of the fit, and the border around them.

    Attributes
    ----------
    support
        Standardised features of locations of the fit, float32 (m, D).
    border
        Distance beyond which a location is unlike all of them.
    """

    support: np.ndarray
    border: float

    def score(self, features: np.ndarray) -> np.ndarray:
        """Distance in units of the border, float32 (n,); above 1 the location is unlike any of the fit."""
        return (_distance(self.support, features) / self.border).astype(np.float32)


def _distance(support: np.ndarray, features: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    k = min(NEIGHBOURS, len(support))
    index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(support)
    return index.kneighbors(features)[0].mean(axis=1)  # scikit-learn bounds the memory of the block by itself


def spread_over(groups: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Rows to keep, ascending: at most `limit`, as evenly over the groups as these allow."""
    if len(groups) <= limit:
        return np.arange(len(groups))
    order = rng.permutation(len(groups))
    _, codes = np.unique(groups[order], return_inverse=True)
    turn = np.empty(len(order), np.int64)  # the how-manieth of its group
    for code in range(codes.max() + 1):
        mine = np.flatnonzero(codes == code)
        turn[mine] = np.arange(len(mine))
    return np.sort(order[np.lexsort((np.arange(len(order)), turn))[:limit]])


def fit_ood_support(features: np.ndarray, groups: np.ndarray, seed: int) -> OodSupport:
    """Keep locations of the fit and measure the border.

    Parameters
    ----------
    features
        Standardised, float32 (n, D).
    groups
        Donor (or block of tissue) of each location (n,).
    seed
        Of the choice of locations, where there are more than `LIMIT`.
    """
    kept = spread_over(groups, LIMIT, np.random.default_rng(seed))
    support, mine = np.asarray(features[kept], np.float32), groups[kept]
    distances = []
    for group in np.unique(mine):
        if (mine != group).any():
            distances.append(_distance(support[mine != group], support[mine == group]))
    far = np.concatenate(distances) if distances else _distance(support, support)
    border = float(np.quantile(far, QUANTILE, method="higher"))
    return OodSupport(support, max(border, float(np.finfo(np.float32).tiny)))

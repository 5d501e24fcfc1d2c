"""Weights of experts by the likelihood of hidden counts.

The rate of a hidden count is a mixture of the rates that the experts expect, Σ w r with weights that are not negative
and sum to one (stacked generalisation: Wolpert 1992, Breiman 1996). Its Poisson log-likelihood is concave in the
weights; each update multiplies a weight by the mean of r / Σ w r under the counts (expectation maximisation, Dempster
1977).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STEPS = 400
FIRST = 100.0  # counts that the first expert is worth a priori
TOLERANCE = 1e-5  # of a weight, between two steps
BORROWED = 0.05  # of all counts: how many the common weights are worth in those of a group


def mixture_weights(counts: np.ndarray, rates: Sequence[np.ndarray], prior: np.ndarray, strength: float) -> np.ndarray:
    """Weights that maximise the likelihood of counts.

    Parameters
    ----------
    counts
        Hidden counts, n × genes.
    rates
        Expected counts by each expert, n × genes each. Their totals over all are made equal, so that the weights mix
        patterns and not levels.
    prior
        Weights that are right a priori, one per expert, sum 1.
    strength
        How many counts the prior is worth.

    Returns
    -------
    float64, one per expert, sum 1.
    """
    seen = counts > 0
    y = counts[seen].astype(np.float64)
    total = y.sum()
    if total + strength <= 0:
        return prior.copy()
    parts = np.stack([r[seen] * (counts.sum() / max(float(r.sum()), 1e-12)) for r in rates]).astype(np.float64)
    weights = np.full(len(parts), 1 / len(parts))
    for _ in range(STEPS):
        mixed = np.maximum(weights @ parts, 1e-12)
        before, weights = weights, (weights * (parts @ (y / mixed)) + strength * prior) / (total + strength)
        if np.abs(weights - before).max() < TOLERANCE:
            break
    return weights / weights.sum()


def weights_by_group(counts: np.ndarray, rates: Sequence[np.ndarray], group: np.ndarray, n_groups: int) -> np.ndarray:
    """Weights of groups of genes, each shrunk to those common to all; these are shrunk to the first expert alone.

    Parameters
    ----------
    counts, rates
        As in `mixture_weights`.
    group
        Group of each gene, int (genes,).

    Returns
    -------
    float64, groups × experts.
    """
    first = np.zeros(len(rates))
    first[0] = 1
    common = mixture_weights(counts, rates, first, FIRST)
    found = np.tile(common, (n_groups, 1))
    for g in range(n_groups):
        here = np.flatnonzero(group == g)
        if len(here):
            part = counts[:, here]
            found[g] = mixture_weights(
                part, [r[:, here] for r in rates], common, FIRST + BORROWED * float(counts.sum())
            )
    return found

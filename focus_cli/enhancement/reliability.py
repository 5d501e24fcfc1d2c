"""Reliability of estimates, 0 to 1, and where to abstain.

A reliability is the share of the variance over tissue that the estimate explains: the square of its correlation with
the truth. For measured genes it follows from the posterior. For genes outside the panel it follows from hold-out
calibration on genes of the panel: the longer the vector of a gene, the higher. Below `ABSTAIN` an estimate is hardly
better than the mean of the gene and should not be used; the same holds for an unmeasured gene without calibration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, float64

from focus_cli.enhancement.holdout_calibration import HoldoutEstimates
from focus_cli.enhancement.infer import Latents

ABSTAIN = 0.1  # a correlation of about 0.3 with the truth
GROUP = 50  # genes of like evidence that are judged together


class Moments:
    """Running moments per gene: the share of the variance that estimates carry by their own account."""

    def __init__(self, n_rows: int, n_genes: int) -> None:
        self.n = n_rows
        self.sum, self.square, self.spread = (np.zeros(n_genes) for _ in range(3))

    def add(self, genes: slice, x: Tensor, sd: Tensor) -> None:
        """Take in a tile: estimates and their standard deviations, rows × genes."""
        self.sum[genes] += x.sum(dim=0, dtype=float64).numpy()
        self.square[genes] += x.square().sum(dim=0, dtype=float64).numpy()
        self.spread[genes] += sd.square().sum(dim=0, dtype=float64).numpy()

    def reliability(self) -> np.ndarray:
        """var(mean) / (var(mean) + E[var])."""
        between = np.maximum(self.square / self.n - (self.sum / self.n) ** 2, 0)
        total = between + self.spread / self.n
        return np.divide(between, total, out=np.zeros_like(total), where=total > 1e-12)


def location_reliability(latents: Latents) -> np.ndarray:
    """Per location: share of the latent's variance over tissue that its own uncertainty leaves."""
    between = latents.mean.var(axis=0)
    left = between / (between + latents.sd**2 + 1e-12)
    weight = between / max(between.sum(), 1e-12)
    return (left @ weight).astype(np.float32)


@dataclass(frozen=True)
class LearntReliability:
    """Reliability of genes outside the panel by the evidence for their vectors: a rising curve through knots."""

    evidence: np.ndarray
    reliability: np.ndarray

    def __call__(self, evidence: np.ndarray) -> np.ndarray:
        """Of genes with this evidence; 0 without any."""
        return np.where(evidence > 0, np.interp(evidence, self.evidence, self.reliability), 0.0)


def learn_reliability(estimates: HoldoutEstimates) -> LearntReliability:
    """Learn from genes of the panel that were treated as if they had not been measured.

    One gene's counts are too noisy to judge it: genes of like evidence share the squared correlation of their shares
    with what was counted, noise of counting taken out, each gene weighed by its counts.
    """
    from scipy.optimize import isotonic_regression

    evidence, seen = estimates.evidence, estimates.exposure > 0
    count, share, exposure = estimates.count[seen], estimates.share[seen], estimates.exposure[seen, None]
    # Deviations from a gene's mean, relative to it; locations are weighed by their counts.
    mean = np.maximum(count.sum(axis=0), 0.5) / exposure.sum()
    stated = share / ((exposure * share).sum(axis=0) / exposure.sum()) - 1
    excess = count - exposure * mean
    weight = mean * exposure
    both = (stated * excess).sum(axis=0)
    own = (weight * stated**2).sum(axis=0)
    true = ((excess**2 - count) / weight).sum(axis=0)
    groups = np.array_split(np.argsort(evidence, kind="stable"), max(1, len(evidence) // GROUP))
    found = []
    for group in groups:
        agreement, ours, theirs = (max(part[group].sum(), 1e-12) for part in (both, own, true))
        found.append(min(agreement**2 / (ours * theirs), 1.0))
    return LearntReliability(np.array([np.median(evidence[g]) for g in groups]), isotonic_regression(found).x)

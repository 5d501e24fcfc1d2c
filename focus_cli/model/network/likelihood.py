"""From latents to counts: the decoder's link and the negative binomial."""

from __future__ import annotations

import torch
from torch import Tensor


def share_link(u: Tensor) -> Tensor:
    """1 + u for u ≥ 0 and exp(u) below: additive above the baseline, never negative.

    Tissue is a sum of cells, so shares add; the exponential keeps a gene that is absent at zero from
    below. The two pieces meet with the same value and slope.
    """
    return share_link_and_slope(u)[0]


def share_link_and_slope(u: Tensor) -> tuple[Tensor, Tensor]:
    """`share_link` and its derivative."""
    slope = torch.exp(u.clamp(max=0))
    return torch.where(u >= 0, 1 + u, slope), slope


def negative_binomial_nll(counts: Tensor, mean: Tensor, log_theta: Tensor) -> Tensor:
    """Negative log-likelihood up to terms that depend on the counts alone.

    Parameters
    ----------
    counts, mean
        The same shape; `mean` > 0.
    log_theta
        Log of the inverse dispersion, broadcastable to `mean`.
    """
    theta = torch.exp(log_theta)
    return (
        torch.lgamma(theta)
        - torch.lgamma(counts + theta)
        - theta * torch.log(theta / (theta + mean))
        - counts * torch.log(mean / (theta + mean))
    )

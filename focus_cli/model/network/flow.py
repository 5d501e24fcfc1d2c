"""Conditional flow matching from an informed source (Lipman et al. 2023, arXiv:2210.02747).

The path is straight, z_t = (1 − t) z₀ + t z₁, from a draw z₀ of the spatial prior to the latent z₁; the
network predicts z₁, and the velocity follows as (ẑ₁ − z_t) / (1 − t).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

DEFAULT_STEPS = 5


def interpolate(source: Tensor, target: Tensor, t: Tensor) -> Tensor:
    """Point at time `t` (batch) of the straight path between two latents (batch × K)."""
    return (1 - t)[:, None] * source + t[:, None] * target


def integrate(predict: Callable[[Tensor, Tensor], Tensor], source: Tensor, steps: int = DEFAULT_STEPS) -> Tensor:
    """Follow the flow from `source` (batch × K) to a sample, by Euler steps.

    Parameters
    ----------
    predict
        (z_t, t) → ẑ₁.
    steps
        Number of steps; with one step the sample is the prediction at t = 0.
    """
    z = source
    for step in range(steps):
        t = torch.full((len(z),), step / steps, dtype=z.dtype, device=z.device)
        z = z + (predict(z, t) - z) / (steps - step)
    return z

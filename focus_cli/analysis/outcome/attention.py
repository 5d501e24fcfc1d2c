"""Gated attention over the locations of a slide (Ilse, Tomczak and Welling 2018, ICML), several members at once.

For the locations h_1 … h_K of a donor

    a_k = softmax_k( w · (tanh(V h_k) ⊙ σ(U h_k)) ),    score = c · Σ_k a_k h_k.

w starts at zero, so every member starts as mean pooling and learns to look away from it. Members differ in their seed
and in how strongly their weights decay; they are trained side by side in one tensor.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from focus_cli.analysis.outcome.target import Target
from focus_cli.core.optimisers import Adam

HIDDEN = 16
STEPS = 80
RATE = 1e-2
PER_STEP = 32  # locations of a donor per step


class GatedAttention(nn.Module):
    """M members; bags (B, K, A) to scores (M, B)."""

    def __init__(self, members: int, n_axes: int, generator: torch.Generator, hidden: int = HIDDEN) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_axes)

        def uniform(*shape: int) -> nn.Parameter:
            return nn.Parameter((torch.rand(shape, generator=generator) * 2 - 1) * bound)

        self.v = uniform(members, n_axes, hidden)
        self.u = uniform(members, n_axes, hidden)
        self.w = nn.Parameter(torch.zeros(members, hidden))
        self.c = nn.Parameter(torch.zeros(members, n_axes))
        self.b = nn.Parameter(torch.zeros(members))

    def attend(self, bags: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Weights of the locations, (M, B, K); they sum to 1 over the locations of the mask (B, K)."""
        flat = bags.reshape(-1, bags.shape[-1])
        gate = torch.tanh(flat @ self.v) * torch.sigmoid(flat @ self.u)  # (M, B·K, H)
        logits = (gate @ self.w[:, :, None]).reshape(len(self.w), *mask.shape)
        return torch.softmax(logits.masked_fill(~mask, -torch.inf), dim=-1)

    def forward(self, bags: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Scores (M, B)."""
        pooled = torch.einsum("mbk,bka->mba", self.attend(bags, mask), bags)
        return torch.einsum("mba,ma->mb", pooled, self.c) + self.b[:, None]


def cox_loss(scores: torch.Tensor, risk: torch.Tensor, event: torch.Tensor) -> torch.Tensor:
    """Minus Breslow's partial log likelihood by the number of events, for each member.

    Parameters
    ----------
    scores
        Log hazards (M, B).
    risk
        Whether column is still at risk at the time of row, bool (B, B).
    event
        Rows whose event was seen, bool (B,).
    """
    seen = scores[:, event]
    at_risk = torch.where(risk[event][None], scores[:, None, :], -torch.inf)  # (M, events, B)
    return (torch.logsumexp(at_risk, dim=-1) - seen).mean(dim=-1)


def train_members(bags: list[np.ndarray], target: Target, decays: np.ndarray, seed: int) -> GatedAttention:
    """Fit one member for each entry of `decays`.

    Parameters
    ----------
    bags
        One float32 (k, A) for each donor.
    target
        Their outcomes.
    decays
        Weight decay of each member (M,), times the rate of learning at each step.
    seed
        Of the first weights and of the locations of one step.
    """
    generator = torch.Generator().manual_seed(seed)
    net = GatedAttention(len(decays), bags[0].shape[1], generator)
    values, mask = padded(bags)
    sizes = mask.sum(dim=1)
    event = torch.from_numpy(target.event)
    risk = None if target.time is None else torch.from_numpy(target.time[None, :] >= target.time[:, None])
    truth = event.float().expand(len(decays), -1)
    parameters = list(net.parameters())
    optimiser = Adam(parameters, lr=RATE)
    decay = torch.from_numpy(np.asarray(decays, np.float32))
    per_step = min(PER_STEP, values.shape[1])
    rows = torch.arange(len(bags))[:, None]
    for step in range(STEPS):
        rate = RATE * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for group in optimiser.param_groups:
            group["lr"] = rate
        # With replacement: a bag smaller than the draw is seen as often as a large one.
        drawn = (torch.rand((len(bags), per_step), generator=generator) * sizes[:, None]).long()
        scores = net(values[rows, drawn], torch.ones(len(bags), per_step, dtype=torch.bool))
        if risk is None:
            each = nn.functional.binary_cross_entropy_with_logits(scores, truth, reduction="none").mean(dim=1)
        else:
            each = cox_loss(scores, risk, event)
        optimiser.zero_grad()
        each.sum().backward()
        optimiser.step()
        with torch.no_grad():
            for parameter in parameters[:-1]:  # not the intercept
                parameter.mul_((1 - rate * decay).reshape(-1, *[1] * (parameter.ndim - 1)))
    return net.eval()


def padded(bags: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Bags of unlike size as one tensor (B, K, A) and the mask of what is there (B, K)."""
    longest = max(len(bag) for bag in bags)
    values = torch.zeros(len(bags), longest, bags[0].shape[1])
    mask = torch.zeros(len(bags), longest, dtype=torch.bool)
    for i, bag in enumerate(bags):
        values[i, : len(bag)] = torch.from_numpy(np.ascontiguousarray(bag, np.float32))
        mask[i, : len(bag)] = True
    return values, mask


@torch.no_grad()
def score_bags(net: GatedAttention, bags: list[np.ndarray]) -> np.ndarray:
    """Scores of whole bags, one after the other, float64 (M, B)."""
    out = [net(torch.from_numpy(bag)[None], torch.ones(1, len(bag), dtype=torch.bool))[:, 0] for bag in bags]
    return torch.stack(out, dim=1).numpy().astype(np.float64)

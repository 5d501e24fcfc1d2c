"""Losses of self-distillation, and how a teacher's scores become targets. Formulas only; no network.

All work over the processes of a run where there are several: the result is that of one process with all the data.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F


def summed(value: Tensor) -> Tensor:
    """Sum over the processes, in place."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(value)
    return value


@torch.no_grad()
def sinkhorn(scores: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Assign samples to prototypes so that all prototypes are used alike (SwAV, 2006.09882).

    Parameters
    ----------
    scores
        float (n, K) cosines.
    temperature
        Divides them.
    iterations
        Of Sinkhorn and Knopp's normalisation of columns, then rows.

    Returns
    -------
    Tensor
        float32 (n, K); rows sum to 1, columns (over all processes) to nearly n/K.
    """
    logits = scores.float() / temperature
    weights = torch.exp(logits - logits.amax(dim=1, keepdim=True))  # rows start alike, and nothing overflows
    for _ in range(iterations):
        weights /= summed(weights.sum(dim=0, keepdim=True)).clamp_min(1e-12)
        weights /= weights.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return weights


class Centre(nn.Module):
    """DINO's other guard against collapse: scores are centred by their moving average before the softmax."""

    def __init__(self, prototypes: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(1, prototypes))
        self.momentum = momentum

    @torch.no_grad()
    def forward(self, scores: Tensor, temperature: float) -> Tensor:
        """Return targets (n, K) with the centre as it was, then move it."""
        scores = scores.float()
        targets = torch.softmax((scores - self.value) / temperature, dim=1)
        total = summed(torch.cat([scores.sum(dim=0), scores.new_tensor([len(scores)])]))
        mean = total[:-1] / total[-1].clamp_min(1)
        self.value.lerp_(mean[None], 1 - self.momentum)
        return targets


def cross_entropy(student: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Cross-entropy (n,) of a student's scores (n, K) at `temperature` with targets (n, K)."""
    return -(targets * F.log_softmax(student.float() / temperature, dim=1)).sum(dim=1)


def dino_loss(student: list[Tensor], targets: list[Tensor], temperature: float) -> Tensor:
    """Mean cross-entropy over pairs of different views.

    Parameters
    ----------
    student
        Scores (n, K) of each view; the first ``len(targets)`` are the views that the teacher is given too.
    targets
        The teacher's assignments (n, K) of those.
    """
    terms = [
        cross_entropy(scores, target, temperature).mean()
        for t, target in enumerate(targets)
        for s, scores in enumerate(student)
        if s != t
    ]
    return torch.stack(terms).mean()


def ibot_loss(student: Tensor, targets: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """Weighted sum of the cross-entropies of hidden patches.

    Parameters
    ----------
    student, targets
        Scores and the teacher's assignments (m, K) of the hidden patches.
    weights
        (m,): one over the hidden patches of the patch's image and over the images.
    """
    return (cross_entropy(student, targets, temperature) * weights).sum()


def koleo_loss(features: Tensor) -> Tensor:
    """Kozachenko–Leonenko: minus the mean log distance to the nearest neighbour on the sphere (1806.03198).

    Parameters
    ----------
    features
        (n, d), n ≥ 2 over all processes; one view of every image.
    """
    points = F.normalize(features.float(), dim=1, eps=1e-8)
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        from torch.distributed.nn.functional import all_gather

        points = torch.cat(all_gather(points), dim=0)
    with torch.no_grad():
        cosine = points @ points.T
        cosine.fill_diagonal_(-2)
        nearest = cosine.argmax(dim=1)
    distance = (points - points[nearest]).pow(2).sum(dim=1).add(1e-12).sqrt()
    return -torch.log(distance + 1e-6).mean()

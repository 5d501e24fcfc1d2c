"""Figures that reveal a collapse: of the output of the teacher, and of the space that its features fill."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def diagnose(features: Tensor, targets: Tensor) -> dict[str, float]:
    """Describe one batch.

    Parameters
    ----------
    features
        (n, width): class tokens of different tiles.
    targets
        (n, K): the teacher's assignments.

    Returns
    -------
    dict
        ``target_entropy``: mean entropy of an assignment, share of log K (1: the teacher is uninformative).
        ``usage_entropy``: entropy of the mean assignment, share of log K (0: all tiles get one prototype).
        ``feature_std``: spread of the unit-length features over the tiles, 1 for an isotropic cloud (0: collapsed).
        ``effective_rank``: exp of the entropy of the singular values (Roy & Vetterli 2007), at most min(n − 1, width).
    """
    targets = targets.float()
    n_prototypes = math.log(targets.shape[1])
    usage = targets.mean(dim=0)
    unit = F.normalize(features.float(), dim=1)
    centred = unit - unit.mean(dim=0)
    return {
        "target_entropy": float(torch.special.entr(targets).sum(dim=1).mean()) / n_prototypes,
        "usage_entropy": float(torch.special.entr(usage).sum()) / n_prototypes,
        "feature_std": float(unit.std(dim=0).mean()) * math.sqrt(unit.shape[1]),
        "effective_rank": effective_rank(centred),
    }


def effective_rank(centred: Tensor) -> float:
    """Exponential of the entropy of the singular values' shares; 0 for a matrix of zeros."""
    values = torch.linalg.svdvals(centred.double())
    total = float(values.sum())
    if total < 1e-9:
        return 0.0
    return float(torch.special.entr(values / total).sum().exp())

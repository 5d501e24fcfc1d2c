"""The projection that tokens are compared in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PrototypeHead(nn.Module):
    """Three layers, a bottleneck on the unit sphere, and cosines to learned prototypes (DINO, 2104.14294)."""

    def __init__(self, width: int, hidden: int, bottleneck: int, prototypes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck))
        nn.init.trunc_normal_(self.prototypes, std=0.02)
        for module in self.layers:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Cosines (n, prototypes) of tokens (n, width)."""
        # The norm is taken in single precision: an eps below what half precision can hold would not hold.
        point = F.normalize(self.layers(tokens).float(), dim=-1, eps=1e-6)
        return F.linear(point, F.normalize(self.prototypes.float(), dim=-1, eps=1e-6))

"""A vision transformer: images in, tokens out, no files.

Dosovitskiy et al. 2010.11929, with LayerScale (2103.17239), register tokens (2309.16588) and a mask token in the place
of hidden patches (iBOT, 2111.07832).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from focus_cli.histology.encoders.vit_config import ViTConfig

INIT_STD = 0.02
FEW_TOKENS = 256


class Tokens(NamedTuple):
    """Output of the transformer for n images.

    Attributes
    ----------
    cls
        (n, width): the class token.
    patches
        (n, rows · columns, width): patch tokens, row by row.
    grid
        (rows, columns).
    """

    cls: Tensor
    patches: Tensor
    grid: tuple[int, int]


class ViT(nn.Module):
    """Patch embedding, class and register tokens, pre-norm blocks, a final norm."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        width = config.width
        self.embed = nn.Conv2d(3, width, config.patch_px, config.patch_px)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_tokens = nn.Parameter(torch.zeros(1, config.registers, width)) if config.registers else None
        self.mask_token = nn.Parameter(torch.zeros(width))
        if config.positions == "learned":
            self.position = nn.Parameter(torch.zeros(1, width, config.grid, config.grid))
        self.blocks = nn.ModuleList(
            Block(config, config.drop_path * i / max(1, config.layers - 1)) for i in range(config.layers)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)
        fan_in = 3 * self.config.patch_px**2
        nn.init.trunc_normal_(self.embed.weight, std=math.sqrt(1 / fan_in))
        nn.init.zeros_(self.embed.bias)
        for name, parameter in self.named_parameters():
            if name in ("cls_token", "register_tokens", "mask_token", "position"):
                nn.init.trunc_normal_(parameter, std=INIT_STD)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tokens:
        """Encode images.

        Parameters
        ----------
        images
            float (n, 3, h, w), normalised; h and w are multiples of the patch.
        mask
            bool (n, rows · columns): patches whose embedding is replaced by the mask token.

        Raises
        ------
        ValueError
            If the sides are no multiples of the patch.
        """
        patch = self.config.patch_px
        if images.shape[-1] % patch or images.shape[-2] % patch:
            raise ValueError(f"images of {tuple(images.shape[-2:])} px do not divide into patches of {patch} px")
        embedded = self.embed(images)
        grid = embedded.shape[-2], embedded.shape[-1]
        x = embedded.flatten(2).transpose(1, 2)
        if mask is not None:
            x = torch.where(mask.unsqueeze(-1), self.mask_token.to(x.dtype), x)
        x = x + self.positions(grid).to(x.dtype)
        n = len(x)
        parts = [self.cls_token.expand(n, -1, -1)]
        if self.register_tokens is not None:
            parts.append(self.register_tokens.expand(n, -1, -1))
        x = torch.cat([*parts, x], dim=1)
        for block in self.blocks:
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        x = self.norm(x)
        return Tokens(x[:, 0], x[:, 1 + self.config.registers :], grid)

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position codes of a grid of patches, (1, rows · columns, width).

        A grid of another size spans the same square as the one that the codes were made for.
        """
        if self.config.positions == "sincos":
            return sincos_positions(grid, self.config.grid, self.config.width).to(self.cls_token.device)[None]
        codes = self.position
        if grid != tuple(codes.shape[-2:]):
            codes = F.interpolate(codes.float(), grid, mode="bicubic", antialias=True, align_corners=False)
        return codes.flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each on a normed copy and added with a learned gain."""

    def __init__(self, config: ViTConfig, drop_path: float) -> None:
        super().__init__()
        width, hidden = config.width, int(config.width * config.mlp_ratio)
        self.heads, self.drop_path = config.heads, drop_path
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.gain1 = nn.Parameter(torch.full((width,), config.layer_scale))
        self.gain2 = nn.Parameter(torch.full((width,), config.layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, tokens, width) of the same."""
        x = x + self._dropped(self.gain1 * self._attend(self.norm1(x)))
        return x + self._dropped(self.gain2 * self.down(F.gelu(self.up(self.norm2(x)))))

    def _attend(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        attended = attend(q, k, v)
        return self.out(attended.transpose(1, 2).reshape(n, tokens, width))

    def _dropped(self, branch: Tensor) -> Tensor:
        """Stochastic depth (1603.09382): the branch of some images is left out in training."""
        if not self.drop_path or not self.training:
            return branch
        keep = 1 - self.drop_path
        kept = torch.rand(len(branch), 1, 1, device=branch.device) < keep
        return branch * (kept / keep).to(branch.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention of (n, heads, tokens, d) tensors; fused wherever the fused kernel is the faster one.

    On a CPU its backward pass costs more than all matrix products of the network together where tokens are few.
    """
    tokens = q.shape[2]
    if q.device.type == "cpu" and q.requires_grad and tokens <= FEW_TOKENS:
        weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1)
        return weights.to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v)


def sincos_positions(grid: tuple[int, int], nominal: int, width: int) -> Tensor:
    """Sines and cosines of rows and columns, float32 (rows · columns, width); half the channels for each.

    The coordinates of any grid span the `nominal` one: patch i of n lies at (i + 1/2) · nominal / n.
    """
    quarter = width // 4
    frequency = 1.0 / 100.0 ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    codes = []
    for n in grid:
        angle = (torch.arange(n, dtype=torch.float64) + 0.5)[:, None] * (nominal / n) * frequency
        codes.append(torch.cat([angle.sin(), angle.cos()], dim=1).float())
    rows, columns = codes
    return torch.cat([rows[:, None].expand(-1, grid[1], -1), columns[None].expand(grid[0], -1, -1)], dim=-1).reshape(
        grid[0] * grid[1], width
    )

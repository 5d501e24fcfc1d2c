"""From what a network gives to one vector per tile, or per place on the tile."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from focus_cli.core.errors import BadInputError, UsageError

if TYPE_CHECKING:
    import torch

    from focus_cli.histology.encoders.vit import ViT

POOLINGS = ("class", "class+mean", "mean", "output")


def pool(output: torch.Tensor, name: str, pooling: str, prefix: int = 1, dense: bool = False) -> torch.Tensor:
    """Bring a network's output into the shape (n, grid, grid, dim).

    Parameters
    ----------
    output
        (n, dim) a vector for each tile; (n, dim, h, w) a map; or (n, tokens, dim) tokens, the first `prefix`
        of which (class and register tokens) have no place on the tile.
    name
        Of the encoder, for messages.
    pooling
        Of tokens: ``"class"``, ``"mean"`` of those with a place, or ``"class+mean"``, both after each other.
    prefix
        Number of tokens without a place.
    dense
        Keep the tokens, or the cells of the map, apart.

    Raises
    ------
    UsageError
        If `dense` is requested of a network that gives one vector per tile.
    BadInputError
        If the output has another shape, or its tokens do not form a square.
    """
    import torch

    if output.ndim == 2:
        if dense:
            raise UsageError(f"encoder {name} gives one vector per tile and cannot be dense", hint="leave out --dense")
        return output[:, None, None]
    if output.ndim == 4:
        return output.permute(0, 2, 3, 1) if dense else output.mean((2, 3))[:, None, None]
    if output.ndim != 3 or output.shape[1] <= prefix:
        raise BadInputError(f"encoder {name} gives values of shape {tuple(output.shape)}, which are no features")
    placed = output[:, prefix:]
    if dense:
        side = math.isqrt(placed.shape[1])
        if side * side != placed.shape[1]:
            raise BadInputError(
                f"encoder {name}: {placed.shape[1]} patch tokens do not form a square",
                hint="state the right number of prefix tokens (class and register tokens)",
            )
        return placed.reshape(len(output), side, side, -1)
    parts = {
        "class": lambda: output[:, 0],
        "mean": lambda: placed.mean(1),
        "class+mean": lambda: torch.cat([output[:, 0], placed.mean(1)], 1),
    }
    if pooling not in parts or (prefix == 0 and pooling != "mean"):
        raise BadInputError(
            f"encoder {name} gives tokens, which pooling {pooling!r} cannot sum up",
            hint="pooling: class, mean or class+mean",
        )
    return parts[pooling]()[:, None, None]


def vit_forward(net: ViT, dense: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    """How one of our own transformers sums up tiles: class token and mean of the patch tokens, or the patch tokens.

    Parameters
    ----------
    net
        The network.
    dense
        Patch tokens, (n, grid, grid, width), in place of one vector, (n, 1, 1, 2 · width).
    """
    import torch

    def forward(tiles: torch.Tensor) -> torch.Tensor:
        tokens = net(tiles)
        if dense:
            return tokens.patches.unflatten(1, tokens.grid)
        return torch.cat([tokens.cls, tokens.patches.mean(dim=1)], dim=1)[:, None, None]

    return forward

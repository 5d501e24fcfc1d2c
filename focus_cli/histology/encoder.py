"""Description and interface of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from focus_cli.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class EncoderInfo:
    """The facts that whoever cuts tiles and whoever reads features must know.

    Attributes
    ----------
    name
        For instance ``"uni"``, ``"imagenet-lite0"``, ``"timm:resnet50"``.
    digest
        12 hex digits over weights and settings: equal digest, equal features (within rounding of the device).
    mpp
        µm per pixel of a tile.
    tile_px
        Side of a tile, px.
    mean, std
        Of the red, green and blue channel in 0..1, with which tiles are normalised inside `encode`.
    dim
        Features per vector.
    grid
        Vectors along each side of a tile: 1 is one vector for the tile; a dense vision transformer gives its
        patch tokens.
    licence
        Of the weights, as far as their source states it.
    source
        Where the weights come from.
    """

    name: str
    digest: str
    mpp: float
    tile_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dim: int
    grid: int
    licence: str
    source: str

    @property
    def tile_um(self) -> float:
        """Side of a tile, µm."""
        return self.tile_px * self.mpp


class Encoder(Protocol):
    """A tile encoder."""

    info: EncoderInfo

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """Encode tiles, uint8 (n, tile_px, tile_px, 3), as float32 (n, grid, grid, dim)."""


def check_tiles(tiles: np.ndarray, info: EncoderInfo) -> None:
    """Refuse tiles of another size or type.

    Raises
    ------
    UsageError
        If `tiles` is not uint8 (n, tile_px, tile_px, 3).
    """
    side = info.tile_px
    if tiles.dtype != "uint8" or tiles.ndim != 4 or tiles.shape[1:] != (side, side, 3):
        raise UsageError(
            f"encoder {info.name} takes tiles of {side} × {side} × 3 bytes, not {tiles.shape[1:]} of {tiles.dtype}",
            hint=f"cut tiles of {side} px at {info.mpp:g} µm per pixel",
        )

"""Which tiles an encoder sees, and which cells of the raster each of them fills."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from focus_cli.core.errors import UsageError
from focus_cli.histology.features.grid import Grid

if TYPE_CHECKING:
    from focus_cli.histology.encoder import EncoderInfo

CHUNK = 16  # cells along each side of what is read at random, about
SHARD = 256  # cells along each side of a file, at most
SHARD_BYTES = 16 << 20  # of a shard, so that wide features keep files and memory small
MIN_TISSUE = 0.1  # share of a cell that makes it one on tissue


@dataclass(frozen=True)
class TilePlan:
    """Cells, tiles and files of one extraction.

    Attributes
    ----------
    grid
        The raster's cells, µm.
    used
        Cells along each side that one tile fills: 1, or the central half of a dense encoder's tokens.
    margin
        Tokens along each side of a tile that are left aside, because they see too little beside them.
    tokens
        Vectors along each side of a tile.
    chunk, shard
        Cells along each side of a chunk and of a file; multiples of `used`.
    """

    grid: Grid
    used: int
    margin: int
    tokens: int
    chunk: int
    shard: int

    @property
    def shards(self) -> list[tuple[int, int]]:
        """(row, column) of the upper left cell of every shard, row by row."""
        rows, columns = range(0, self.grid.rows, self.shard), range(0, self.grid.columns, self.shard)
        return [(row, column) for row in rows for column in columns]

    def tiles(self, wanted: np.ndarray, shard: tuple[int, int]) -> np.ndarray:
        """Upper left cells of the tiles of one shard that hold a wanted cell; int64 (n, 2), row by row."""
        row, column = shard
        block = wanted[row : row + self.shard, column : column + self.shard]
        high, wide = -(-block.shape[0] // self.used), -(-block.shape[1] // self.used)
        padded = np.zeros((high * self.used, wide * self.used), bool)
        padded[: block.shape[0], : block.shape[1]] = block
        any_wanted = padded.reshape(high, self.used, wide, self.used).any(axis=(1, 3))
        return np.argwhere(any_wanted) * self.used + np.array([row, column])

    def centres_um(self, tiles: np.ndarray) -> np.ndarray:
        """Centres of tiles, float64 (n, 2): (x, y) in µm, the cells being those of `tiles`."""
        offset = (self.tokens - 1) / 2 - self.margin
        x = self.grid.x0 + (tiles[:, 1] + offset) * self.grid.step
        y = self.grid.y0 + (tiles[:, 0] + offset) * self.grid.step
        return np.stack([x, y], axis=1)

    def central(self, vectors: np.ndarray) -> np.ndarray:
        """The vectors that are kept: (n, used, used, dim) of (n, tokens, tokens, dim)."""
        kept = slice(self.margin, self.margin + self.used)
        return vectors[:, kept, kept]


def make_plan(info: EncoderInfo, box_um: tuple[float, float, float, float], step_um: float | None) -> TilePlan:
    """Lay cells and tiles over a box.

    Parameters
    ----------
    info
        The encoder's facts.
    box_um
        (x0, y0, x1, y1) to cover.
    step_um
        Pitch of the cells; default: one tile, or the pitch of the tokens of a dense encoder, which has no other.

    Raises
    ------
    UsageError
        If the pitch is not positive, or not that of the tokens.
    """
    pitch = info.tile_um / info.grid
    if step_um is None:
        step_um = pitch
    if not (math.isfinite(step_um) and step_um > 0):
        raise UsageError(f"step_um must be positive, not {step_um}")
    margin = info.grid // 4 if info.grid > 1 else 0
    if info.grid > 1:
        if abs(step_um - pitch) > 1e-6 * pitch:
            raise UsageError(
                f"encoder {info.name} has tokens {pitch:g} µm apart, and no features every {step_um:g} µm",
                hint=f"leave out --step-um, or pass {pitch:g}",
            )
        step_um = pitch
    used = info.grid - 2 * margin
    chunk = used * max(1, CHUNK // used)
    side = min(SHARD, math.isqrt(SHARD_BYTES // (2 * info.dim)))
    return TilePlan(
        grid=Grid.over(*box_um, step_um),
        used=used,
        margin=margin,
        tokens=info.grid,
        chunk=chunk,
        shard=chunk * max(1, side // chunk),
    )


def wanted_cells(tissue: np.ndarray) -> np.ndarray:
    """Cells to compute, bool: those on tissue, and their neighbours, between which places on tissue interpolate."""
    from scipy import ndimage

    return ndimage.binary_dilation(tissue >= MIN_TISSUE, np.ones((3, 3), bool))

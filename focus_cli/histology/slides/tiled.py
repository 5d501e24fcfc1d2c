"""A level cut into tiles of equal size, each decoded on its own and kept in a bounded cache."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.histology.slides.cache import TileCache
from focus_cli.histology.slides.level import MAX_PIECE_PIXELS, WHITE, pyramid_hint


class TiledLevel:
    """Windows put together from tiles; a subclass defines how one tile is decoded.

    Tiles are numbered row by row. Nothing here is locked but the cache's own table: a subclass decodes
    without touching shared state.
    """

    def __init__(
        self, path: Path, key: Hashable, size: tuple[int, int], tile: tuple[int, int], cache: TileCache
    ) -> None:
        self.path, self._key, self._cache = path, key, cache
        self.width, self.height = size
        self.tile_width, self.tile_height = tile
        self.across = math.ceil(self.width / self.tile_width)
        self.n_tiles = self.across * math.ceil(self.height / self.tile_height)
        if self.tile_width * self.tile_height > MAX_PIECE_PIXELS:
            raise BadInputError(
                f"{path} has {self.width * self.height / 1e9:.1f} gigapixels in one piece",
                hint=pyramid_hint(path.name, path.stem),
            )

    def window(self, x0: int, y0: int, x1: int, y1: int, holes: list[int] | None = None) -> np.ndarray:
        """Return uint8 RGB (y1 - y0, x1 - x0, 3), decoding only the tiles that it touches.

        A window that is one whole tile is decoded in place and not kept: who reads tile by tile does not
        come back for the rest of it.
        """
        out = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        if self._is_one_tile(x0, y0, x1, y1) and not self._cache.holds((self._key, self._number(x0, y0))):
            self.read_tile(x0, y0, out, holes)
            return out
        for row in range(y0 // self.tile_height, (y1 - 1) // self.tile_height + 1):
            top = row * self.tile_height
            ya, yb = max(y0, top), min(y1, top + self.tile_height)
            for column in range(x0 // self.tile_width, (x1 - 1) // self.tile_width + 1):
                left = column * self.tile_width
                xa, xb = max(x0, left), min(x1, left + self.tile_width)
                target = out[ya - y0 : yb - y0, xa - x0 : xb - x0]
                number = row * self.across + column
                try:
                    target[:] = self._tile(number)[ya - top : yb - top, xa - left : xb - left]
                except BadInputError:
                    if holes is None:
                        raise
                    holes.append(number)
                    target[:] = WHITE
        return out

    def read_tile(self, x0: int, y0: int, out: np.ndarray, holes: list[int] | None = None) -> None:
        """Decode the tile that begins at (x0, y0) straight into `out`, past the cache.

        Parameters
        ----------
        x0, y0
            Its corner, a multiple of the tile's size, inside the level.
        out
            uint8 (tile_height, tile_width, 3), contiguous. What lies beyond the level's edge is white.
        holes
            Gets the tile's number if it cannot be decoded; `out` is white then.

        Raises
        ------
        BadInputError
            If it cannot be decoded and no `holes` are given.
        """
        number = self._number(x0, y0)
        try:
            self._decode_into(number, out)
        except BadInputError:
            if holes is None:
                raise
            holes.append(number)
            out[:] = WHITE
            return
        # Files pad the last column and row with anything.
        out[self.height - y0 :] = WHITE
        out[:, self.width - x0 :] = WHITE

    def _number(self, x: int, y: int) -> int:
        return (y // self.tile_height) * self.across + x // self.tile_width

    def _is_one_tile(self, x0: int, y0: int, x1: int, y1: int) -> bool:
        same_size = (x1 - x0, y1 - y0) == (self.tile_width, self.tile_height)
        return same_size and x0 % self.tile_width == 0 and y0 % self.tile_height == 0

    def _tile(self, number: int) -> np.ndarray:
        return self._cache.get((self._key, number), lambda: self._decode(number))

    def _decode_into(self, number: int, out: np.ndarray) -> None:
        pixels = self._decode(number)
        out[: pixels.shape[0], : pixels.shape[1]] = pixels

    def _decode(self, number: int) -> np.ndarray:
        """Return uint8 RGB of one tile, at least as large as its part inside the level.

        Raises
        ------
        BadInputError
            If it cannot be decoded.
        """
        raise NotImplementedError

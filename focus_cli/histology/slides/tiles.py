"""One tile of a slide, into an array that is there already."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from focus_cli.histology.slides.resample import area_average, area_weights
from focus_cli.histology.slides.slide import Slide
from focus_cli.histology.slides.tiled import TiledLevel
from focus_cli.histology.slides.tiling import Tiling, level_for

_BICUBIC_REACH = 3  # source px that the bicubic kernel looks at beyond a tile, with one to spare
_PIECE = 16_384


class TileReader:
    """Reads tiles of one size and scale; threads may share it.

    In order of preference: a tile that is one of the file is decoded straight into its place, past
    the cache; at a level's own scale pixels are copied, from the nearest whole pixel; coarser tiles are
    averaged over exactly the area that each pixel covers, as `Slide.read` does (within one grey level);
    tiles finer than level 0 are bicubic.

    Attributes
    ----------
    straight
        Whether all tiles are the file's own.
    """

    def __init__(self, slide: Slide, tiling: Tiling) -> None:
        self._slide, self._tile_px = slide, tiling.tile_px
        self._index, self._ratio = level_for(slide, tiling.mpp)
        self._level = slide.levels[self._index]
        self._factor = slide.downsamples[self._index]
        self._centres = tiling.centres
        own = self._ratio == 1 and slide.paint is None and isinstance(self._level, TiledLevel)
        self.straight = own and self._all_native(self._level)
        self._weights = lru_cache(maxsize=1024)(self._cell_weights)

    def _corners(self, rows: slice) -> np.ndarray:
        """Corners in px of the level, float64 (n, 2): whole where they are meant to be."""
        corners = self._centres[rows] / self._factor - self._tile_px * self._ratio / 2
        whole = np.rint(corners)
        if self._ratio == 1:
            return whole
        return np.where(np.abs(corners - whole) < 1e-6, whole, corners)  # but for the rounding of the centres

    def _all_native(self, level: TiledLevel) -> bool:
        if not (level.tile_width == level.tile_height == self._tile_px):
            return False
        for start in range(0, len(self._centres), _PIECE):  # memory does not grow with the slide
            corners = self._corners(slice(start, start + _PIECE))
            inside = (corners >= 0) & (corners < (level.width, level.height))
            if not (inside & (corners % self._tile_px == 0)).all():
                return False
        return True

    def read(self, row: int, out: np.ndarray) -> bool:
        """Read the tile of one row of the tiling.

        Parameters
        ----------
        row
            Number of the tile.
        out
            uint8 (tile_px, tile_px, 3), contiguous.

        Returns
        -------
        bool
            Whether part of it could not be decoded, and is white.
        """
        holes: list[int] = []
        left, top = self._corners(slice(row, row + 1))[0]
        side = self._tile_px
        if self.straight:
            self._level.read_tile(int(left), int(top), out, holes)
        elif self._ratio == 1:
            x0, y0 = int(left), int(top)
            out[:] = self._slide.read_level(self._index, x0, y0, x0 + side, y0 + side, holes)
        elif self._ratio > 1:
            out[:] = self._averaged(left, top, holes)
        else:
            out[:] = self._enlarged(left, top, holes)
        return bool(holes)

    def _averaged(self, left: float, top: float, holes: list[int]) -> np.ndarray:
        x0, x1, across = self._weights(left)
        y0, y1, down = self._weights(top)
        return area_average(self._slide.read_level(self._index, x0, y0, x1, y1, holes), down, across)

    def _cell_weights(self, start: float) -> tuple:
        """First and last source px of a row of cells, and their weights."""
        edges = start + np.arange(self._tile_px + 1) * self._ratio
        first, last = math.floor(edges[0]), math.ceil(edges[-1])
        return first, last, area_weights(edges, first, last)

    def _enlarged(self, left: float, top: float, holes: list[int]) -> np.ndarray:
        from PIL import Image

        length = self._tile_px * self._ratio
        x0, y0 = math.floor(left) - _BICUBIC_REACH, math.floor(top) - _BICUBIC_REACH
        x1, y1 = math.ceil(left + length) + _BICUBIC_REACH, math.ceil(top + length) + _BICUBIC_REACH
        window = Image.fromarray(self._slide.read_level(self._index, x0, y0, x1, y1, holes))
        box = (left - x0, top - y0, left - x0 + length, top - y0 + length)
        return np.asarray(window.resize((self._tile_px, self._tile_px), Image.Resampling.BICUBIC, box=box))

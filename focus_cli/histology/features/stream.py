"""From pixels to window statistics, strip by strip.

Pixels → channels, block by block with a halo → Gaussian moments (σ = `SCALES_UM[0]`) on the grid → the
larger windows, as Gaussians of those moments. Only a band of rows is ever held.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from focus_cli.histology.features import channels
from focus_cli.histology.features.grid import Grid
from focus_cli.histology.features.windows import TRUNCATE, apply_separable, gaussian_weights, window_span
from focus_cli.histology.slides.slide import Slide

WORK_MPP = 2.0  # slides are read at this scale, or at their own where that is coarser
SCALES_UM = (6.0, 20.0, 60.0)  # σ of the windows
BLOCK_PX = 768  # side of the blocks in which pixels are worked on

_N = len(channels.CHANNELS)
_STATISTICS = (
    *(f"{name}_mean" for name in channels.CHANNELS),
    *(f"{name}_sd" for name in channels.CHANNELS),
    "coherence",
)
NAMES = tuple(f"{statistic}_{scale:g}um" for scale in SCALES_UM for statistic in _STATISTICS)


class WindowStream:
    """Window statistics of a slide on a grid.

    Parameters
    ----------
    slide
        The image.
    mpp
        µm per image pixel in the grid's system.
    grid
        Where to evaluate; its pitch must not much exceed the σ of the smallest window.
    work_mpp
        The scale to work at; never finer than the image.
    block_px
        Side of a block; the result does not depend on it.
    """

    def __init__(
        self, slide: Slide, mpp: float, grid: Grid, work_mpp: float = WORK_MPP, block_px: int = BLOCK_PX
    ) -> None:
        self.slide, self.grid = slide, grid
        work = max(mpp, work_mpp)
        self.shape = max(1, round(slide.height * mpp / work)), max(1, round(slide.width * mpp / work))
        # A whole number of pixels spans the slide exactly, so that flips are exact.
        self.mpp_y, self.mpp_x = slide.height * mpp / self.shape[0], slide.width * mpp / self.shape[1]
        self.mpp = math.sqrt(self.mpp_y * self.mpp_x)
        self.block_cells = max(1, int(block_px * self.mpp / grid.step))
        self._later = [math.sqrt(s**2 - SCALES_UM[0] ** 2) / grid.step for s in SCALES_UM[1:]]
        self._reach = math.ceil(TRUNCATE * max(self._later)) + 1
        self.wide, self._top, self._left = grid.padded(self._reach, slide.width * mpp, slide.height * mpp)
        self._y, self._x = self.wide.y / self.mpp_y, self.wide.x / self.mpp_x  # centres, px
        sigma_y, sigma_x = SCALES_UM[0] / self.mpp_y, SCALES_UM[0] / self.mpp_x
        self._sigma = sigma_y, sigma_x
        self._mass_y = gaussian_weights(self._y, sigma_y, self.shape[0]).sum(axis=1)
        self._mass_x = gaussian_weights(self._x, sigma_x, self.shape[1]).sum(axis=1)

    def strips(self, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, features) for every `rows` rows of the grid.

        Features are float32 (len(NAMES), ≤ rows, columns), in the order of `NAMES`.
        """
        held = np.empty((2 * _N + 3, 0, self.wide.columns), np.float32)
        start = stop = 0  # rows of the wide grid that are held
        for first in range(0, self.grid.rows, rows):
            last = min(first + rows, self.grid.rows)
            low = max(0, self._top + first - self._reach)
            high = min(self.wide.rows, self._top + last + self._reach)
            if stop < high:
                kept = held[:, max(0, low - start) :]
                held = np.concatenate([kept, self._moments(stop, high)], axis=1)
            else:
                held = held[:, low - start :]
            start, stop = low, max(stop, high)
            yield first, self._features(held, start, self._top + first, self._top + last)

    def _moments(self, first: int, last: int) -> np.ndarray:
        """Un-normalised Gaussian sums for rows [first, last) of the wide grid, block by block."""
        out = np.empty((2 * _N + 3, last - first, self.wide.columns), np.float32)
        for row in range(first, last, self.block_cells):
            row_end = min(row + self.block_cells, last)
            for column in range(0, self.wide.columns, self.block_cells):
                column_end = min(column + self.block_cells, self.wide.columns)
                out[:, row - first : row_end - first, column:column_end] = self._block(row, row_end, column, column_end)
        return out

    def _block(self, row: int, row_end: int, column: int, column_end: int) -> np.ndarray:
        y, x = self._y[row:row_end], self._x[column:column_end]
        y0, y1 = window_span(y, self._sigma[0], self.shape[0])
        x0, x1 = window_span(x, self._sigma[1], self.shape[1])
        halo = channels.reach_px(self.mpp)
        values, tensor = channels.measure(self._pixels(y0 - halo, x0 - halo, y1 + halo, x1 + halo), self.mpp)
        inner = (slice(None), slice(halo, -halo), slice(halo, -halo))
        values, tensor = values[inner], tensor[inner]
        down = gaussian_weights(y, self._sigma[0], self.shape[0], y0, y1)
        across = gaussian_weights(x, self._sigma[1], self.shape[1], x0, x1)
        return np.concatenate([apply_separable(part, down, across) for part in (values, values**2, tensor)])

    def _pixels(self, y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
        """Read a window at the working scale; beyond the slide it is mirrored."""
        rows, columns = _mirrored(y0, y1, self.shape[0]), _mirrored(x0, x1, self.shape[1])
        top, left = int(rows.min()), int(columns.min())
        pixels = self.slide.read_scaled(self.shape, (top, left, int(rows.max()) + 1, int(columns.max()) + 1))
        if (x0, y0) == (left, top) and pixels.shape[:2] == (y1 - y0, x1 - x0):
            return pixels
        return pixels[np.ix_(rows - top, columns - left)]

    def _features(self, held: np.ndarray, start: int, first: int, last: int) -> np.ndarray:
        """Turn the held moments into features of rows [first, last) of the wide grid."""
        out = np.empty((len(NAMES), last - first, self.grid.columns), np.float32)
        inner = slice(self._left, self._left + self.grid.columns)
        y = np.arange(first, last) + 0.5
        x = np.arange(self._left, self._left + self.grid.columns) + 0.5
        mass = self._mass_y[first:last, None] * self._mass_x[None, inner]
        per_scale = len(_STATISTICS)
        window_statistics(held[:, first - start : last - start, inner] / mass, out[:per_scale])
        for i, sigma in enumerate(self._later, start=1):
            a, b = window_span(y, sigma, self.wide.rows)
            down = gaussian_weights(y, sigma, self.wide.rows, a, b)
            across = gaussian_weights(x, sigma, self.wide.columns)
            sums = apply_separable(held[:, a - start : b - start], down, across)
            mass = (down @ self._mass_y[a:b])[:, None] * (across @ self._mass_x)[None, :]
            window_statistics(sums / mass, out[i * per_scale : (i + 1) * per_scale])
        return out


def window_statistics(moments: np.ndarray, out: np.ndarray) -> None:
    """Write means, standard deviations and coherence of one scale into `out`."""
    mean, square = moments[:_N], moments[_N : 2 * _N]
    out[:_N] = mean
    out[_N : 2 * _N] = np.sqrt(np.maximum(square - mean**2, 0))
    xx, yy, xy = moments[2 * _N :]
    # 0: edges in every direction alike, 1: all edges parallel (fibres). The constant stills flat glass.
    out[2 * _N] = np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-6)


def _mirrored(first: int, last: int, n: int) -> np.ndarray:
    """Indices first … last − 1 folded into [0, n) as in a hall of mirrors (edge pixels repeat)."""
    index = np.arange(first, last) % (2 * n)
    return np.where(index < n, index, 2 * n - 1 - index)

"""A slide, read by physical scale and never loaded whole when it is tiled."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.histology.slides.histology import Paint, find_paint
from focus_cli.histology.slides.level import BROKEN_HINT, WHITE, Level, Source
from focus_cli.histology.slides.resample import area_average, area_weights
from focus_cli.histology.slides.sampling import sampled_pixels
from focus_cli.histology.slides.scale import FileScale

_BLOCK_PX = 2048  # side of the blocks of source pixels that are averaged at a time


class Slide:
    """An H&E image with a pyramid (of one level, for a plain image).

    Pixel i covers [i, i + 1) along its axis; x runs to the right, y down; all boxes are in level-0 px.
    Threads may share it: they decode side by side.

    Attributes
    ----------
    path
        The file.
    width, height
        Level-0 pixels.
    mpp
        µm per level-0 pixel: the value given to `open_slide`, else the file's own, else None.
    file_mpp, file_mpp_origin
        The file's own value and where it stands in it (None and "" where it states nothing plausible).
    max_damaged
        The share of a level's tiles that `read` (with a scale), `read_scaled` and `thumbnail` take as white where they
        cannot be decoded; with more, and with 0, they raise.
    """

    def __init__(self, path: Path, source: Source, mpp: float | None = None, max_damaged: float = 0.0) -> None:
        self.path = Path(path)
        self._source = source
        self.width, self.height = source.levels[0].width, source.levels[0].height
        self.file_mpp, self.file_mpp_origin = source.scale.mpp, source.scale.origin
        self.mpp = mpp if mpp is not None else source.scale.mpp
        self._notes = [*source.notes, *_scale_notes(self.path, source.scale, mpp)]
        self._paint: Paint | None = None
        self._paint_sought = False
        self._lock = threading.Lock()
        self.downsamples = [_downsample(source.levels[0], level) for level in source.levels]
        self.max_damaged = max_damaged
        self._damaged: set[tuple[int, int]] = set()  # (level, tile)

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __repr__(self) -> str:
        scale = "mpp unknown" if self.mpp is None else f"{self.mpp:.4g} µm/px"
        return f"Slide({self.path.name}, {self.width} × {self.height} px, {scale}, {self.n_levels} level(s))"

    def close(self) -> None:
        """Release the file and its cache."""
        self._source.close()

    @property
    def paint(self) -> Paint | None:
        """The background, where it was painted black or grey beside stained tissue; it is read as white.

        Sought once, in the coarsest level or in windows of it.
        """
        if not self._paint_sought:
            with self._lock:
                if not self._paint_sought:
                    self._paint = find_paint(sampled_pixels(self.levels))
                    self._paint_sought = True
        return self._paint

    @property
    def notes(self) -> list[str]:
        """What was assumed of the file, one line each: worth a warning wherever the slide is used."""
        if self.paint is None:
            return list(self._notes)
        return [
            *self._notes,
            f"the background of {self.path.name} is painted {self.paint.words()}: it is read as glass",
        ]

    @property
    def n_levels(self) -> int:
        """Number of resolutions in the file."""
        return len(self._source.levels)

    @property
    def levels(self) -> list[Level]:
        """The resolutions themselves, widest first."""
        return self._source.levels

    def read(self, x0: float, y0: float, width: float, height: float, mpp: float | None = None) -> np.ndarray:
        """Read a box, at its own resolution or resampled to `mpp`.

        Parameters
        ----------
        x0, y0, width, height
            The box in level-0 px; whole numbers where `mpp` is not given. Outside the slide is white.
        mpp
            µm per pixel of the result. The coarsest level that is still finer is area-averaged down.

        Returns
        -------
        np.ndarray
            uint8 (h, w, 3), h = max(1, round(height · slide.mpp / mpp)).

        Raises
        ------
        UsageError
            If the box is empty or `mpp` is not positive.
        MissingResourceError
            If `mpp` is given and the slide's own is unknown.
        BadInputError
            If the file's pixels cannot be decoded.
        """
        if not (width > 0 and height > 0):
            raise UsageError(f"an empty box of {width} × {height} px of {self.path} was requested")
        if mpp is None:
            box = [round(v) for v in (x0, y0, x0 + width, y0 + height)]
            return self.read_level(0, *box)
        if not mpp > 0:
            raise UsageError(f"µm per pixel must be positive, not {mpp}")
        scale = mpp / self.require_mpp()
        columns, rows = max(1, round(width / scale)), max(1, round(height / scale))
        return self._resampled(np.linspace(x0, x0 + width, columns + 1), np.linspace(y0, y0 + height, rows + 1))

    def read_scaled(self, shape: tuple[int, int], window: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """Read a window of the slide as it would look when resampled to `shape` as a whole.

        Windows of one `shape` fit each other to the last bit, whatever their borders.

        Parameters
        ----------
        shape
            (rows, columns) of the whole resampled slide.
        window
            (row0, column0, row1, column1) in the pixels of that shape, inside it; default: all.

        Returns
        -------
        np.ndarray
            uint8 (row1 - row0, column1 - column0, 3).
        """
        rows, columns = shape
        row0, column0, row1, column1 = (0, 0, rows, columns) if window is None else window
        if not (0 <= row0 < row1 <= rows and 0 <= column0 < column1 <= columns):
            raise UsageError(f"window {window} does not lie in a slide resampled to {rows} × {columns}")
        x_edges = np.arange(column0, column1 + 1) * self.width / columns
        y_edges = np.arange(row0, row1 + 1) * self.height / rows
        scale = min(self.width / columns, self.height / rows)
        return self._resampled(x_edges, y_edges, scale)

    def thumbnail(self, max_side: int) -> np.ndarray:
        """Return the whole slide, area-averaged so that its longer side is at most `max_side` px.

        Returns
        -------
        np.ndarray
            uint8 (h, w, 3); never larger than level 0.
        """
        if max_side < 1:
            raise UsageError(f"a thumbnail needs a side of at least 1 px, not {max_side}")
        shrink = max(1.0, max(self.width, self.height) / max_side)
        return self.read_scaled((max(1, round(self.height / shrink)), max(1, round(self.width / shrink))))

    def require_mpp(self) -> float:
        """Return µm per pixel.

        Raises
        ------
        MissingResourceError
            If neither the file nor the caller states it.
        """
        if self.mpp is None:
            raise MissingResourceError(
                f"the scale of {self.path} is unknown: the file states no µm per pixel", hint="pass --mpp"
            )
        return self.mpp

    def read_level(self, index: int, x0: int, y0: int, x1: int, y1: int, holes: list[int] | None = None) -> np.ndarray:
        """Read a box of one level in that level's px; outside is white.

        Parameters
        ----------
        index
            Number of the level.
        x0, y0, x1, y1
            The box.
        holes
            Where it is given, pieces that cannot be decoded are white and their numbers are appended to it.

        Returns
        -------
        np.ndarray
            uint8 (y1 - y0, x1 - x0, 3).

        Raises
        ------
        BadInputError
            If pixels cannot be decoded and no `holes` are given.
        """
        level = self._source.levels[index]
        xa, ya, xb, yb = max(x0, 0), max(y0, 0), min(x1, level.width), min(y1, level.height)
        inside = xa < xb and ya < yb
        if inside and (xa, ya, xb, yb) == (x0, y0, x1, y1):
            return self._unpainted(np.ascontiguousarray(level.window(x0, y0, x1, y1, holes)))
        out = np.full((y1 - y0, x1 - x0, 3), WHITE, np.uint8)
        if inside:
            out[ya - y0 : yb - y0, xa - x0 : xb - x0] = level.window(xa, ya, xb, yb, holes)
        return self._unpainted(out)

    def _unpainted(self, pixels: np.ndarray) -> np.ndarray:
        return pixels if self.paint is None else self.paint.removed(pixels)

    def damage(self) -> str:
        """How many tiles could not be decoded so far, in one line; empty where all could."""
        if not self._damaged:
            return ""
        return f"{len(self._damaged)} tiles of {self.path.name} could not be decoded; they are white there"

    def _read_tolerant(self, index: int, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        if not self.max_damaged:
            return self.read_level(index, x0, y0, x1, y1)
        holes: list[int] = []
        pixels = self.read_level(index, x0, y0, x1, y1, holes)
        if holes:
            self._damaged.update((index, number) for number in holes)
            found, of = sum(level == index for level, _ in self._damaged), self.levels[index].n_tiles
            if found > self.max_damaged * of:
                raise BadInputError(
                    f"at least {found} of {of} tiles of {self.path} cannot be decoded, "
                    f"more than {100 * self.max_damaged:g} %",
                    hint=BROKEN_HINT,
                )
        return pixels

    def _resampled(self, x_edges: np.ndarray, y_edges: np.ndarray, scale: float | None = None) -> np.ndarray:
        """Area-average the cells between level-0 edges, from the best level, block by block."""
        if scale is None:
            scale = min(x_edges[1] - x_edges[0], y_edges[1] - y_edges[0])
        index = self.best_level(scale)
        factor = self.downsamples[index]
        x_edges, y_edges = x_edges / factor, y_edges / factor
        out = np.empty((len(y_edges) - 1, len(x_edges) - 1, 3), np.uint8)
        step = max(1, int(_BLOCK_PX * factor / scale))
        for column in range(0, out.shape[1], step):
            x = x_edges[column : column + step + 1]
            x0, x1 = math.floor(x[0]), math.ceil(x[-1])
            across = area_weights(x, x0, x1)
            for row in range(0, out.shape[0], step):
                y = y_edges[row : row + step + 1]
                y0, y1 = math.floor(y[0]), math.ceil(y[-1])
                pixels = self._read_tolerant(index, x0, y0, x1, y1)
                target = out[row : row + step, column : column + step]
                # One to one and in step: nothing to average.
                copied = scale == factor and pixels.shape == target.shape
                target[:] = pixels if copied else area_average(pixels, area_weights(y, y0, y1), across)
        return out

    def best_level(self, scale: float) -> int:
        """Return the coarsest level that is not coarser than `scale` level-0 px per pixel."""
        return max(i for i, factor in enumerate(self.downsamples) if i == 0 or factor <= scale * 1.001)


def _scale_notes(path: Path, scale: FileScale, given: float | None) -> list[str]:
    if given is None:
        return [f"{path.name}: {note}" for note in scale.notes]
    if scale.conflict:
        return [f"{path.name}: {scale.conflict}; {given:.4g}, as given, is used for both"]
    return []


def _downsample(base: Level, level: Level) -> float:
    """Level-0 px per px of `level`: a whole number where the sizes agree with one up to rounding."""
    factor = max(1, round(base.width / level.width))
    exact_x, exact_y = base.width / factor, base.height / factor
    if abs(exact_x - level.width) < 1 and abs(exact_y - level.height) < 1:
        return float(factor)
    return (base.width / level.width + base.height / level.height) / 2

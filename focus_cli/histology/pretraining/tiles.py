"""Random squares of tissue from many slides. Square (step, index) of a seed is always the same one."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.random import stream
from focus_cli.histology.slides import Slide, open_slide, tissue_mask

MASK_UM = 16.0  # pixel of the tissue masks


@dataclass(frozen=True)
class SlideSource:
    """A slide to draw from; `mpp` is µm per level-0 px, or None for the file's own."""

    path: Path
    mpp: float | None = None
    name: str = ""


@dataclass
class _Ground:
    """Where squares of one slide may lie.

    Attributes
    ----------
    centres
        int32 (n, 2): (row, column) of the mask's pixels that may be a square's centre.
    pixel
        Their side, level-0 px along (y, x).
    mpp
        µm per level-0 px.
    """

    source: SlideSource
    centres: np.ndarray
    pixel: tuple[float, float]
    mpp: float
    area_um2: float
    lock: threading.Lock = field(default_factory=threading.Lock)


class TileStream:
    """Draws squares of tissue with a side of `tile_um` µm, read at `mpp`.

    A slide is met in proportion to its tissue. At most `open_slides` slides are open at a time: where there are more,
    every `steps_per_shelf` steps another handful is drawn. JPEG and PNG are decoded whole while they are open.
    Safe to be called from several threads; a slide is read by one of them at a time.

    Raises
    ------
    MissingResourceError
        If a slide is not there, or its scale is unknown.
    BadInputError
        If a slide cannot be read, or none has tissue enough for one square.
    UsageError
        If a slide is given twice.
    """

    def __init__(
        self,
        sources: Sequence[SlideSource],
        *,
        tile_um: float,
        mpp: float,
        seed: int = 0,
        min_tissue: float = 0.5,
        open_slides: int = 8,
        steps_per_shelf: int = 100,
    ) -> None:
        if not sources:
            raise UsageError("no slide was given", hint="name slides, or samples that have an image")
        paths = [Path(os.path.realpath(s.path)) for s in sources]
        for path in paths:
            if paths.count(path) > 1:
                raise UsageError(f"{path} was given twice", hint="give each slide once")
        self.tile_um, self.mpp, self.seed = float(tile_um), float(mpp), int(seed)
        self.tile_px = max(1, round(self.tile_um / self.mpp))
        self._open_slides, self._steps_per_shelf = open_slides, steps_per_shelf
        self._opened: OrderedDict[int, Slide] = OrderedDict()
        self._lock = threading.Lock()
        self.grounds = []
        for source in sources:
            ground = _survey(source, self.tile_um, min_tissue)
            if ground is not None:
                self.grounds.append(ground)
        if not self.grounds:
            raise BadInputError(
                f"no slide has tissue enough for a square of {self.tile_um:.0f} µm",
                hint="check --mpp, or lower min_tissue, mpp or global_px (--config)",
            )
        area = np.array([g.area_um2 for g in self.grounds])
        self._weights = area / area.sum()

    @property
    def area_mm2(self) -> float:
        """Tissue of all slides."""
        return sum(g.area_um2 for g in self.grounds) / 1e6

    def draw(self, step: int, index: int) -> np.ndarray:
        """Return one square: uint8 (tile_px, tile_px, 3). Depends on the seed, `step` and `index` alone."""
        rng = stream(self.seed, "pretrain/tiles", step, index)
        number = self._choose(rng, step)
        ground = self.grounds[number]
        centre = ground.centres[rng.integers(len(ground.centres))] + rng.random(2)
        y, x = centre * ground.pixel
        side = self.tile_px * self.mpp / ground.mpp
        with ground.lock:
            tile = self._slide(number).read(x - side / 2, y - side / 2, side, side, mpp=self.mpp)
        return tile[: self.tile_px, : self.tile_px]

    def close(self) -> None:
        """Release all slides."""
        with self._lock:
            for slide in self._opened.values():
                slide.close()
            self._opened.clear()

    def _choose(self, rng: np.random.Generator, step: int) -> int:
        if len(self.grounds) <= self._open_slides:
            return int(rng.choice(len(self.grounds), p=self._weights))
        drawer = stream(self.seed, "pretrain/open slides", step // self._steps_per_shelf)
        return int(rng.choice(drawer.choice(len(self.grounds), self._open_slides, p=self._weights)))

    def _slide(self, number: int) -> Slide:
        """The opened slide; the one unused for the longest time is closed in its place. Called under its own lock."""
        with self._lock:
            slide = self._opened.pop(number, None)
            if slide is None:
                source = self.grounds[number].source
                slide = open_slide(source.path, source.mpp)
                for other in list(self._opened):
                    if len(self._opened) < self._open_slides:
                        break
                    # One that a thread is reading now is left to the next time.
                    if self.grounds[other].lock.acquire(blocking=False):
                        self._opened.pop(other).close()
                        self.grounds[other].lock.release()
            self._opened[number] = slide
            return slide


def _survey(source: SlideSource, tile_um: float, min_tissue: float) -> _Ground | None:
    """Find where squares may lie, or None on a slide without tissue."""
    with open_slide(source.path, source.mpp) as slide:
        mpp = slide.require_mpp()
        if min(slide.width, slide.height) * mpp < tile_um:
            return None
        shrink = max(1.0, MASK_UM / mpp)
        shape = max(1, round(slide.height / shrink)), max(1, round(slide.width / shrink))
        mask = tissue_mask(slide.read_scaled(shape), mpp * slide.width / shape[1])
        pixel = slide.height / shape[0], slide.width / shape[1]
    half = tile_um / 2 / mpp
    tissue = ndimage.uniform_filter(mask.astype(np.float32), round(2 * half / pixel[0]), mode="constant")
    usable = mask & (tissue >= min_tissue)
    # Squares lie on the slide: its edge is not a thing to learn.
    for axis in (0, 1):
        edge = int(np.ceil(half / pixel[axis]))
        usable = np.moveaxis(usable, axis, 0)
        usable[:edge] = usable[len(usable) - edge :] = False
        usable = np.moveaxis(usable, 0, axis)
    centres = np.argwhere(usable).astype(np.int32)
    area = float(len(centres)) * pixel[0] * pixel[1] * mpp**2
    return _Ground(source, centres, pixel, mpp, area) if len(centres) else None

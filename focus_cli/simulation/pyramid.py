"""Write a section's image as a tiled pyramidal TIFF, and its thumbnails, without ever holding all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TILE = 256
LEVELS = 3  # each half as wide as the one before
_QUALITY = 90
_HIRES, _LOWRES = 2000, 600  # longest sides of Space Ranger's thumbnails


@dataclass(frozen=True)
class Thumbnails:
    """Small copies of an image, uint8 RGB, with their pixels per full-resolution pixel."""

    hires: np.ndarray
    lowres: np.ndarray
    hires_scale: float
    lowres_scale: float


def write_pyramid(
    path: Path, band: Callable[[int, int], np.ndarray], width: int, height: int, mpp: float
) -> Thumbnails:
    """Write level 0 as it is drawn, a row of tiles at a time; keep only its reductions in memory.

    Levels are separate pages, the first the largest, JPEG-compressed, as OpenSlide, QuPath and libvips
    read them. Resolution tags give µm per pixel.

    Parameters
    ----------
    band
        ``band(start, stop)`` draws rows of level 0: uint8 (rows, width, 3).
    width, height
        Of level 0 in px.
    mpp
        µm per pixel of level 0.
    """
    import tifffile

    half = np.zeros((height // 2, width // 2, 3), dtype=np.uint8)
    step = -(-max(width, height) // _HIRES)
    hires = _Reducer(width, height, step)

    def tiles() -> Iterator[np.ndarray]:
        for start in range(0, height, TILE):
            rows = band(start, min(start + TILE, height))
            small = _halve(rows)
            half[start // 2 : start // 2 + len(small)] = small
            hires.add(rows)
            yield from _tiles(rows)

    def save(file, data, shape: tuple[int, ...], level: int) -> None:
        file.write(
            data,
            shape=shape,
            dtype=np.uint8,
            tile=(TILE, TILE),
            photometric="rgb",
            compression="jpeg",
            compressionargs={"level": _QUALITY},
            subfiletype=1 if level else 0,
            resolution=(1e4 / (mpp * 2**level),) * 2,
            resolutionunit="CENTIMETER",
            metadata=None,
            software=False,
        )

    with tifffile.TiffWriter(path, bigtiff=width * height > 1e9) as file:
        save(file, tiles(), (height, width, 3), 0)
        level = half
        for i in range(1, LEVELS):
            save(file, _all_tiles(level), level.shape, i)
            level = _halve(level)
    return hires.thumbnails(max(width, height))


class _Reducer:
    """Averages squares of `step` pixels over bands of rows."""

    def __init__(self, width: int, height: int, step: int) -> None:
        self._step = step
        self._out = np.zeros((height // step, width // step, 3), dtype=np.uint8)
        self._left = np.zeros((0, width, 3), dtype=np.uint8)
        self._row = 0

    def add(self, rows: np.ndarray) -> None:
        rows = np.concatenate([self._left, rows])
        whole = len(rows) // self._step
        small = _reduce(rows[: whole * self._step], self._step)
        self._out[self._row : self._row + whole] = small
        self._row += whole
        self._left = rows[whole * self._step :]

    def thumbnails(self, longest: int) -> Thumbnails:
        from PIL import Image

        hires = self._out
        ratio = min(1.0, _LOWRES / max(hires.shape))
        size = [max(1, round(side * ratio)) for side in (hires.shape[1], hires.shape[0])]
        lowres = np.asarray(Image.fromarray(hires).resize(size, Image.Resampling.BOX))
        return Thumbnails(hires, lowres, 1 / self._step, max(lowres.shape) / longest)


def _reduce(rows: np.ndarray, step: int) -> np.ndarray:
    if step == 1:
        return rows
    height, width = rows.shape[0] // step, rows.shape[1] // step
    whole = rows[: height * step, : width * step]
    total = np.full((height, width, 3), step * step // 2, dtype=np.uint32)
    for offset in np.ndindex(step, step):
        total += whole[offset[0] :: step, offset[1] :: step]
    return (total // (step * step)).astype(np.uint8)


def _halve(rows: np.ndarray) -> np.ndarray:
    return _reduce(rows, 2)


def _tiles(rows: np.ndarray) -> Iterator[np.ndarray]:
    """The tiles of one band, padded with their own last pixels."""
    height, width = rows.shape[:2]
    padded = np.pad(rows, ((0, TILE - height), (0, -width % TILE), (0, 0)), mode="edge")
    for column in range(0, padded.shape[1], TILE):
        yield np.ascontiguousarray(padded[:, column : column + TILE])


def _all_tiles(image: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(image), TILE):
        yield from _tiles(image[start : start + TILE])

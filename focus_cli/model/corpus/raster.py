"""Image features as tiles of uncompressed numbers, which are read at any place without undoing the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from focus_cli.histology.features import MorphologyRaster
from focus_cli.model.corpus.shards import ShardArray, ShardWriter

TILE = 16  # cells a side
_BAND = 8  # rows of tiles that are laid at a time


class TiledRaster(MorphologyRaster):
    """A raster of image features in a corpus; it is sampled as that of the sample's folder, to the same values.

    Parameters
    ----------
    described
        Names, pitch, origin, shape, version and encoder, as `store_raster` returned them.
    features, tissue
        Its arrays.
    """

    def __init__(self, described: dict[str, Any], features: ShardArray, tissue: ShardArray) -> None:
        self.names = described["names"]
        self.step_um = described["step_um"]
        self.origin_um = np.array(described["origin_um"], np.float64)
        self.version, self.encoder = described["version"], described["encoder"]
        self.shape = tuple(described["shape"])
        self._features, self._tissue = _Tiles(features, self.shape), _Whole(tissue)


class _Whole:
    """An array that is always read whole."""

    def __init__(self, array: ShardArray) -> None:
        self._array = array

    def __getitem__(self, part: slice) -> np.ndarray:
        return self._array.all()[part]


class _Tiles:
    """Rows × columns × F in tiles; a block of it is put together from the tiles that it touches."""

    def __init__(self, tiles: ShardArray, shape: tuple[int, int]) -> None:
        self._tiles, self._limits = tiles, shape

    def __getitem__(self, block: slice | tuple[slice, slice]) -> np.ndarray:
        block = block if isinstance(block, tuple) else (block, slice(0, self._limits[1]))
        (r0, r1), (c0, c1) = ((part.start, min(part.stop, n)) for part, n in zip(block, self._limits))
        _, across, *tile = self._tiles.shape
        size, n_features = int(np.prod(tile)), tile[-1]
        first, last = c0 // TILE, -(-c1 // TILE)
        out = np.empty((r1 - r0, c1 - c0, n_features), self._tiles.dtype)
        row = np.empty((last - first, *tile), self._tiles.dtype)
        for down in range(r0 // TILE, -(-r1 // TILE)):
            self._tiles.read_into(row, (down * across + first) * size)
            top, bottom = max(r0, down * TILE), min(r1, (down + 1) * TILE)
            inside = slice(top - down * TILE, bottom - down * TILE)
            for number, one in enumerate(row, first):
                left, right = max(c0, number * TILE), min(c1, (number + 1) * TILE)
                out[top - r0 : bottom - r0, left - c0 : right - c0] = one[
                    inside, left - number * TILE : right - number * TILE
                ]
        return out


def store_raster(writer: ShardWriter, name: str, raster: MorphologyRaster) -> dict[str, Any]:
    """Write a raster as tiles; return what describes it."""
    rows, columns = raster.shape
    across = -(-columns // TILE)
    shape = (-(-rows // TILE), across, TILE, TILE, raster.n_features)
    writer.add_parts(f"{name}.features", np.float16, shape, _bands(raster, across))
    writer.add(f"{name}.tissue", raster.tissue_fraction)
    return {
        "names": list(raster.names),
        "step_um": raster.step_um,
        "origin_um": raster.origin_um.tolist(),
        "version": raster.version,
        "encoder": raster.encoder,
        "shape": [rows, columns],
    }


def _bands(raster: MorphologyRaster, across: int) -> Iterator[np.ndarray]:
    """Rows of tiles, padded with zeros at the lower and right edge."""
    rows, columns = raster.shape
    step = _BAND * TILE
    for top in range(0, rows, step):
        values = raster.rows(top, min(top + step, rows))
        down = -(-len(values) // TILE)
        padded = np.zeros((down * TILE, across * TILE, raster.n_features), np.float16)
        padded[: len(values), :columns] = values
        yield padded.reshape(down, TILE, across, TILE, -1).swapaxes(1, 2)

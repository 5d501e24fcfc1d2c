"""Streaming dense matrices into an .h5ad file, block of rows by block of rows.

Threads take tiles of a block, small enough to stay in a core's cache from the first number to the last byte.

Values keep 11 significant bits (a relative error below 2⁻¹¹ = 0.05 %, far below their own standard
deviation); the bits that carry nothing are zero, so that byte shuffling and deflate remove them. Any HDF5
reader opens the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import imagecodecs
import numpy as np
import torch

KEPT_MANTISSA_BITS = 10
CHUNK_ROWS = 1024
CHUNK_COLUMNS = 256
_LEVEL = 1


def round_bits(values: np.ndarray) -> np.ndarray:
    """Round float32 values to 10 explicit bits of mantissa, to nearest."""
    drop = 23 - KEPT_MANTISSA_BITS
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    half = np.uint32(1 << (drop - 1))
    mask = np.uint32((0xFFFFFFFF << drop) & 0xFFFFFFFF)
    return ((bits + half) & mask).view(np.float32)


def _compress(chunk: np.ndarray) -> bytes:
    shuffled = np.ascontiguousarray(chunk.view(np.uint8).reshape(-1, 4).T)
    return imagecodecs.deflate_encode(shuffled.tobytes(), level=_LEVEL)


class DenseWriter:
    """Dense float32 datasets of equal shape inside an open .h5ad file.

    Parameters
    ----------
    path
        File that already holds obs, var and the sparse layers.
    names
        ``"X"`` or layer names.
    shape
        Locations × genes.
    """

    def __init__(self, path: Path, names: Iterable[str], shape: tuple[int, int]) -> None:
        self._file = h5py.File(path, "r+")
        # As many threads as torch would take for one operation, each of which then takes one.
        self._torch_threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._torch_threads, initializer=torch.set_num_threads, initargs=(1,))
        self._shape = shape
        self._chunk = (min(CHUNK_ROWS, max(shape[0], 1)), min(CHUNK_COLUMNS, max(shape[1], 1)))
        self._data = {}
        for name in names:
            where = name if name == "X" else f"layers/{name}"
            if where in self._file:
                del self._file[where]
            dataset = self._file.create_dataset(
                where,
                shape,
                "f4",
                chunks=self._chunk,
                shuffle=True,
                compression="gzip",
                compression_opts=_LEVEL,
            )
            dataset.attrs["encoding-type"] = "array"
            dataset.attrs["encoding-version"] = "0.2.0"
            self._data[name] = dataset

    @property
    def block_rows(self) -> int:
        """Rows of a block: `write` takes whole blocks, but for the last."""
        return self._chunk[0]

    def write(self, start: int, tile: Callable[[slice], dict[str, np.ndarray]]) -> None:
        """Write one block of rows.

        Parameters
        ----------
        start
            First row, a multiple of `block_rows`.
        tile
            Columns → values of every dataset there, float32, rows × columns. Called from several threads, once
            for every range of columns.
        """
        ranges = [slice(c, min(c + self._chunk[1], self._shape[1])) for c in range(0, self._shape[1], self._chunk[1])]

        def encoded(columns: slice) -> dict[str, bytes]:
            return {name: self._encode(part) for name, part in tile(columns).items()}

        for columns, parts in zip(ranges, self._pool.map(encoded, ranges)):
            for name, data in parts.items():
                self._data[name].id.write_direct_chunk((start, columns.start), data)

    def _encode(self, part: np.ndarray) -> bytes:
        chunk = np.zeros(self._chunk, np.float32)  # edge chunks are stored whole
        chunk[: part.shape[0], : part.shape[1]] = round_bits(part)
        return _compress(chunk)

    def close(self) -> None:
        """Flush and close."""
        self._pool.shutdown()
        torch.set_num_threads(self._torch_threads)
        self._file.close()

    def __enter__(self) -> DenseWriter:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

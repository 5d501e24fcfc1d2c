"""Arrays in shards: files of bounded size, named by their content, of which any part is read by its place.

A shard is a safetensors file. An array is a row of pieces, each a tensor of a shard; where each lies is in the
description of the array, so that a reader opens no header.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage import atomic_file
from focus_cli.core.storage.kinds import PART
from focus_cli.core.storage.regular import require_regular

SHARD_BYTES = 2**27
PIECE_BYTES = 2**24
OPEN_FILES = 128
_HEADER = 8  # bytes of a safetensors file that say how long its description is


class ShardWriter:
    """Collects arrays and writes a shard whenever one is full.

    Parameters
    ----------
    folder
        Of the shards.
    rewrite
        Write shards that are there as well: one may be damaged.

    Attributes
    ----------
    shards
        SHA-256 and size of every shard that was written, in order.
    arrays
        Description of every array, by name.
    """

    def __init__(self, folder: Path, rewrite: bool = False) -> None:
        self._folder, self._rewrite = folder, rewrite
        self._waiting: dict[str, np.ndarray] = {}
        self._filled = 0
        self.shards: list[dict[str, Any]] = []
        self.arrays: dict[str, dict[str, Any]] = {}

    def add(self, name: str, array: np.ndarray) -> None:
        """Add an array that is in memory."""
        self.add_parts(name, array.dtype, array.shape, [array])

    def add_parts(self, name: str, dtype: np.dtype, shape: Sequence[int], parts: Iterable[np.ndarray]) -> None:
        """Add an array that comes in parts, in the order of its elements."""
        self.arrays[name] = {"dtype": np.dtype(dtype).str, "shape": [int(n) for n in shape], "pieces": []}
        step = PIECE_BYTES // np.dtype(dtype).itemsize
        for part in parts:
            flat = np.ascontiguousarray(part, dtype).reshape(-1)
            for start in range(0, flat.size, step):
                self._put(name, flat[start : start + step])

    def _put(self, name: str, piece: np.ndarray) -> None:
        if self._waiting and self._filled + piece.nbytes > SHARD_BYTES:
            self.flush()
        pieces = self.arrays[name]["pieces"]
        key = f"{name}.{len(pieces)}"
        pieces.append([len(self.shards), key, piece.nbytes])  # the place is known when the shard is written
        self._waiting[key] = piece
        self._filled += piece.nbytes

    def flush(self) -> None:
        """Write what waits as a shard."""
        if not self._waiting:
            return
        from safetensors.numpy import save

        blob = save(self._waiting)
        digest = hashlib.sha256(blob).hexdigest()
        path = shard_path(self._folder, digest)
        if self._rewrite or not path.exists():
            with atomic_file(path, overwrite=True, kind=PART) as temporary:
                temporary.write_bytes(blob)
        length = int.from_bytes(blob[:_HEADER], "little")
        header = json.loads(blob[_HEADER : _HEADER + length])
        for array in self.arrays.values():
            for piece in array["pieces"]:
                if piece[0] == len(self.shards) and isinstance(piece[1], str):
                    piece[1] = _HEADER + length + header[piece[1]]["data_offsets"][0]
        self.shards.append({"sha256": digest, "bytes": len(blob)})
        self._waiting, self._filled = {}, 0


def shard_path(folder: Path, digest: str) -> Path:
    """Where a shard lies: in one of 256 folders."""
    return folder / digest[:2] / f"{digest}.safetensors"


class _OpenFile:
    """A file that is read by place from any thread, and closed when no object holds it."""

    def __init__(self, path: Path) -> None:
        if not os.path.lexists(path):
            raise MissingResourceError(f"no such shard: {path}", hint="run focus corpus again")
        self.number = os.open(require_regular(path), os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


_opened = lru_cache(maxsize=OPEN_FILES)(_OpenFile)


class ShardArray:
    """An array in shards; nothing is read before it is requested.

    Parameters
    ----------
    paths
        Files of the sample's shards.
    described
        As `ShardWriter.arrays` has it.
    """

    def __init__(self, paths: Sequence[Path], described: dict[str, Any]) -> None:
        self.dtype, self.shape = np.dtype(described["dtype"]), tuple(described["shape"])
        self._pieces = [(paths[shard], offset) for shard, offset, _ in described["pieces"]]
        self._starts = np.concatenate([[0], np.cumsum([n for *_, n in described["pieces"]], dtype=np.int64)])
        size = math.prod(self.shape) * self.dtype.itemsize
        if int(self._starts[-1]) != size:
            raise BadInputError(
                f"an array of {size:,} bytes has pieces of {int(self._starts[-1]):,}",
                hint="run focus corpus again with --overwrite",
            )

    def all(self) -> np.ndarray:
        """The whole array."""
        return self.read(0, int(np.prod(self.shape))).reshape(self.shape)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Elements from `start` up to `stop`, counted along the flat array."""
        out = np.empty(stop - start, self.dtype)
        self.read_into(out, start)
        return out

    def read_into(self, out: np.ndarray, start: int) -> None:
        """Fill `out` (contiguous) with the elements from `start` on.

        Raises
        ------
        BadInputError
            If a shard is shorter than it should be.
        MissingResourceError
            If it is not there.
        """
        target = memoryview(out.reshape(-1).view(np.uint8))
        first = start * self.dtype.itemsize
        last = first + len(target)
        piece = int(np.searchsorted(self._starts, first, side="right")) - 1
        done = 0
        while done < len(target):
            path, offset = self._pieces[piece]
            begin = first + done - int(self._starts[piece])
            size = min(last, int(self._starts[piece + 1])) - first - done
            _read(path, target[done : done + size], offset + begin)
            done += size
            piece += 1


def _read(path: Path, target: memoryview, place: int) -> None:
    file = _opened(path)
    while len(target):
        got = os.preadv(file.number, [target], place)
        if not got:
            raise BadInputError(f"{path} is damaged: it ends too early", hint="focus corpus --verify finds all damage")
        target, place = target[got:], place + got

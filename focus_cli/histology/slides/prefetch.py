"""Tiles in batches, decoded by threads ahead of whoever takes them."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.progress import print_message
from focus_cli.histology.slides.level import BROKEN_HINT
from focus_cli.histology.slides.slide import Slide
from focus_cli.histology.slides.tiles import TileReader
from focus_cli.histology.slides.tiling import Tiling

_MAX_THREADS = 16
_MAX_PIECE = 32  # tiles that a thread takes at a time: enough to hide the hand-over, few enough to share


@dataclass(frozen=True)
class TileBatch:
    """Some tiles of a tiling.

    Attributes
    ----------
    index
        int64 (b,): rows of the tiling, rising over the run.
    pixels
        uint8 (b, tile_px, tile_px, 3).
    damaged
        bool (b,): part of the tile could not be decoded and is white.
    """

    index: np.ndarray
    pixels: np.ndarray
    damaged: np.ndarray


def iterate_tiles(
    slide: Slide,
    tiling: Tiling,
    *,
    batch: int = 64,
    threads: int | None = None,
    ahead: int = 4,
    rows: np.ndarray | None = None,
    max_damaged: float = 0.01,
) -> Iterator[TileBatch]:
    """Read tiles in batches of a fixed order, whatever the threads.

    At most `ahead` batches are decoded, or being decoded, before they are taken; with the one in the
    caller's hands that is (ahead + 1) · batch · tile_px² · 3 bytes, 63 MB by default at 256 px, beside the
    slide's cache. Tiles beyond the slide's edge are white.

    Parameters
    ----------
    slide, tiling
        What to read.
    batch
        Tiles in a batch; the last may have fewer.
    threads
        Threads that decode; default: one per core this process may use, at most 16.
    ahead
        Batches decoded in advance.
    rows
        int64: only these rows of the tiling, each once, in rising order; default: all.
    max_damaged
        The share of the tiles that may be damaged. Damaged tiles are counted, and reported at the end.

    Raises
    ------
    UsageError
        If a number makes no sense or a row is not in the tiling.
    BadInputError
        If more than `max_damaged` of the tiles are damaged, as soon as that is certain.
    """
    for name, value in (("batch", batch), ("ahead", ahead), ("threads", 1 if threads is None else threads)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}")
    if not 0 <= max_damaged <= 1:
        raise UsageError(f"the share of damaged tiles lies between 0 and 1, not at {max_damaged}")
    rows = np.arange(len(tiling)) if rows is None else np.unique(np.asarray(rows, np.int64))
    if len(rows) and not 0 <= rows[0] <= rows[-1] < len(tiling):
        raise UsageError(f"tiles {rows[0]} to {rows[-1]} were requested of a tiling of {len(tiling)}")
    threads = threads or min(_MAX_THREADS, len(os.sched_getaffinity(0)))
    return _Run(TileReader(slide, tiling), tiling.tile_px, rows, batch, threads).batches(
        ahead, _DamageCount(slide, len(rows), max_damaged)
    )


class _DamageCount:
    """Counts damaged tiles and stops the run where they are too many."""

    def __init__(self, slide: Slide, total: int, share: float) -> None:
        self._path, self._total, self._share, self._found = slide.path, total, share, 0

    def add(self, n: int) -> None:
        self._found += n
        if self._found > self._share * self._total:
            raise BadInputError(
                f"at least {self._found} of {self._total} tiles of {self._path} cannot be decoded, "
                f"more than {100 * self._share:g} %",
                hint=BROKEN_HINT,
            )

    def report(self) -> None:
        if self._found:
            print_message(
                f"{self._path}: {self._found} of {self._total} tiles could not be decoded; they are white there"
            )


class _Buffers:
    """Batches' memory, used again once it is released: fresh pages cost half as much as decoding into them."""

    def __init__(self, batch: int, tile_px: int, most: int) -> None:
        self._shape, self._most = (batch, tile_px, tile_px, 3), most
        self._kept: list[np.ndarray] = []

    def take(self, n: int) -> np.ndarray:
        """Return uninitialised uint8 (n, tile_px, tile_px, 3); it is its holder's, as are all views of it."""
        for buffer in self._kept:
            # The list, the loop and the call itself; every view, batch and tensor made of it counts once more.
            if sys.getrefcount(buffer) == 3:
                return buffer[:n]
        fresh = np.empty(self._shape, np.uint8)
        if len(self._kept) < self._most:
            self._kept.append(fresh)
        return fresh[:n]


class _Run:
    """One pass over the rows of a tiling."""

    def __init__(self, reader: TileReader, tile_px: int, rows: np.ndarray, batch: int, threads: int) -> None:
        self._reader, self._tile_px, self._rows, self._batch, self._threads = reader, tile_px, rows, batch, threads

    def batches(self, ahead: int, damage: _DamageCount) -> Iterator[TileBatch]:
        self._buffers = _Buffers(min(self._batch, max(len(self._rows), 1)), self._tile_px, ahead + 2)
        starts = iter(range(0, len(self._rows), self._batch))
        waiting: deque[tuple[TileBatch, list[Future]]] = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="tiles")
        try:
            while True:
                while len(waiting) < ahead and (start := next(starts, None)) is not None:
                    waiting.append(self._submit(pool, start))
                if not waiting:
                    break
                # Wait first, take then: a batch still in the queue counts as one of those ahead.
                for future in waiting[0][1]:
                    future.result()
                damage.add(int(waiting[0][0].damaged.sum()))
                yield waiting.popleft()[0]
            damage.report()
        finally:  # also where the caller stops half way
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, start: int) -> tuple[TileBatch, list[Future]]:
        index = self._rows[start : start + self._batch]
        filled = TileBatch(index, self._buffers.take(len(index)), np.zeros(len(index), bool))
        piece = max(1, min(_MAX_PIECE, -(-len(index) // self._threads)))
        return filled, [pool.submit(self._fill, filled, i, i + piece) for i in range(0, len(index), piece)]

    def _fill(self, filled: TileBatch, start: int, stop: int) -> None:
        for i in range(start, min(stop, len(filled.index))):
            filled.damaged[i] = self._reader.read(int(filled.index[i]), filled.pixels[i])

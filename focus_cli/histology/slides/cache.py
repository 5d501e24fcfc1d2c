"""A bounded store of decoded tiles."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np


class TileCache:
    """Least recently used tiles leave first once `limit_bytes` is passed; the newest always stays.

    Safe to share between threads. Tiles are made outside the lock, so that threads decode side by side; two
    that request the same tile at the same moment may both decode it, and get equal pixels.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._tiles: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the tile under `key`, making it if it is not held."""
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
                return tile
        tile = make()
        with self._lock:
            held = self._tiles.setdefault(key, tile)
            if held is tile:
                self.held_bytes += tile.nbytes
                while self.held_bytes > self.limit_bytes and len(self._tiles) > 1:
                    _, gone = self._tiles.popitem(last=False)
                    self.held_bytes -= gone.nbytes
        return held

    def holds(self, key: Hashable) -> bool:
        """Whether the tile under `key` is here now."""
        return key in self._tiles

    def clear(self) -> None:
        """Forget every tile."""
        with self._lock:
            self._tiles.clear()
            self.held_bytes = 0

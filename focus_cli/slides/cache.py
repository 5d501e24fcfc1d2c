"""A bounded store of decoded tiles."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np


class TileCache:
    """Least recently used tiles leave first once `limit_bytes` is passed; the newest always stays."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._tiles: OrderedDict[Hashable, np.ndarray] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the tile under `key`, making it if it is not held."""
        tile = self._tiles.get(key)
        if tile is not None:
            self._tiles.move_to_end(key)
            return tile
        tile = make()
        self._tiles[key] = tile
        self.held_bytes += tile.nbytes
        while self.held_bytes > self.limit_bytes and len(self._tiles) > 1:
            _, gone = self._tiles.popitem(last=False)
            self.held_bytes -= gone.nbytes
        return tile

    def clear(self) -> None:
        """Forget every tile."""
        self._tiles.clear()
        self.held_bytes = 0

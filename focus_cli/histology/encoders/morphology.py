"""The built-in morphology features as a tile encoder, to be compared with learned ones under one interface."""

from __future__ import annotations

import numpy as np

from focus_cli.histology.encoder import EncoderInfo, check_tiles
from focus_cli.histology.encoders.digest import digest_of

NAME = "morphology"
MPP, TILE_PX = 2.0, 224  # 448 µm: holds the widest window, three σ of 60 µm, and what a channel looks beyond it
_VERSION = 1


class MorphologyEncoder:
    """Means, standard deviations and coherence of the morphology channels in windows around the tile's centre.

    The definition of ``morphology.zarr`` (σ = 6, 20 and 60 µm; 57 features; docs/slides.md), taken from one tile
    at 2 µm per pixel; no weights, runs on the CPU. `names` are the features' names.
    """

    def __init__(self) -> None:
        from focus_cli.histology.features.stream import NAMES, SCALES_UM
        from focus_cli.histology.features.windows import gaussian_weights

        self.names = NAMES
        settings = {"kind": NAME, "version": _VERSION, "names": list(NAMES), "mpp": MPP, "tile_px": TILE_PX}
        self.info = EncoderInfo(
            name=NAME,
            digest=digest_of(settings),
            mpp=MPP,
            tile_px=TILE_PX,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            dim=len(NAMES),
            grid=1,
            licence="BSD-3-Clause",
            source="built in",
        )
        self._windows = []
        for sigma in SCALES_UM:
            weights = gaussian_weights(np.array([TILE_PX / 2]), sigma / MPP, TILE_PX)
            self._windows.append(weights / weights.sum())

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """Encode tiles, uint8 (n, tile_px, tile_px, 3), as float32 (n, 1, 1, 57).

        Raises
        ------
        UsageError
            If the tiles have another size or type.
        """
        check_tiles(tiles, self.info)
        out = np.empty((len(tiles), 1, 1, self.info.dim), np.float32)
        for tile, row in zip(tiles, out, strict=True):
            row[0, 0] = self._measure(tile)
        return out

    def _measure(self, tile: np.ndarray) -> np.ndarray:
        from focus_cli.histology.features import channels
        from focus_cli.histology.features.stream import window_statistics
        from focus_cli.histology.features.windows import apply_separable

        values, tensor = channels.measure(tile, MPP)
        maps = np.concatenate([values, values**2, tensor])
        rows = np.empty((len(self._windows), self.info.dim // len(self._windows), 1, 1), np.float32)
        for window, row in zip(self._windows, rows, strict=True):
            window_statistics(apply_separable(maps, window, window), row)
        return rows.ravel()

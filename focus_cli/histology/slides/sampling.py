"""A small picture of a slide's colours, without decoding the whole slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from focus_cli.histology.slides.level import Level

_WHOLE_PX = 4_000_000  # a level up to this size is read whole
_WINDOWS, _SIDE_PX = 6, 256  # else this many windows along each axis


def sampled_pixels(levels: list[Level]) -> np.ndarray:
    """Pixels of the coarsest level: all of it where it is small, else windows on a regular grid.

    Returns
    -------
    np.ndarray
        uint8 (h, w, 3). Of windows, (36 · 256, 256, 3) at most, one below another; damaged pieces are white.
    """
    level = levels[-1]
    if level.width * level.height <= _WHOLE_PX:
        return level.window(0, 0, level.width, level.height, [])
    width, height = min(_SIDE_PX, level.width), min(_SIDE_PX, level.height)
    windows = []
    for y in np.linspace(0, level.height - height, _WINDOWS).astype(int):
        for x in np.linspace(0, level.width - width, _WINDOWS).astype(int):
            windows.append(level.window(int(x), int(y), int(x) + width, int(y) + height, []))
    return np.concatenate(windows)

"""Locations drawn over a picture."""

from __future__ import annotations

import numpy as np

# From few counts to many: pale yellow, green, dark blue. Pink and violet are the tissue's.
_RAMP = np.array([[255, 237, 120], [78, 190, 120], [10, 60, 140]], dtype=float)
_MOST = 20_000  # locations that are drawn; more would hide the tissue


def draw_locations(rgb: np.ndarray, xy_px: np.ndarray, level: np.ndarray, radius_px: float) -> np.ndarray:
    """Draw locations as rings, coloured by the rank of a level.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3).
    xy_px
        float (n, 2), in pixels of `rgb`; those outside are left out.
    level
        (n,), for instance total counts.
    radius_px
        Of a ring; below 1.5 px a dot is drawn.

    Returns
    -------
    np.ndarray
        uint8 (h, w, 3), a new picture.
    """
    from PIL import Image, ImageDraw

    picture = Image.fromarray(np.ascontiguousarray(rgb))
    draw = ImageDraw.Draw(picture)
    some = np.linspace(0, len(xy_px) - 1, min(len(xy_px), _MOST)).astype(int)
    rank = np.argsort(np.argsort(np.asarray(level)[some], kind="stable"), kind="stable") / max(len(some) - 1, 1)
    colours = np.stack([np.interp(rank, (0, 0.5, 1), _RAMP[:, c]) for c in range(3)], axis=1).round().astype(int)
    height, width = rgb.shape[:2]
    for (x, y), colour in zip(np.asarray(xy_px)[some].tolist(), map(tuple, colours.tolist())):
        if not (-radius_px <= x <= width + radius_px and -radius_px <= y <= height + radius_px):
            continue
        if radius_px < 1.5:
            draw.point((x, y), fill=colour)
        else:
            box = (x - radius_px, y - radius_px, x + radius_px, y + radius_px)
            draw.ellipse(box, outline=colour, width=max(1, round(radius_px / 4)))
    return np.asarray(picture)


def shrink(rgb: np.ndarray, side: int) -> np.ndarray:
    """A picture area-averaged so that its longer side is at most `side` px."""
    from PIL import Image

    height, width = rgb.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.BOX))

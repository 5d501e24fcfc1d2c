"""How far locations reach, and whether they lie on a picture."""

from __future__ import annotations

import numpy as np


def bounding_box(xy_um: np.ndarray, margin_um: float = 0.0) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) around the locations, widened by a margin on every side, in µm."""
    x0, y0 = np.min(xy_um, axis=0) - margin_um
    x1, y1 = np.max(xy_um, axis=0) + margin_um
    return float(x0), float(y0), float(x1), float(y1)


def inside(xy: np.ndarray, width: float, height: float) -> np.ndarray:
    """bool (n,): which positions lie within an image of that size, in the unit of `xy`."""
    return np.all((xy >= 0) & (xy <= (width, height)), axis=1)

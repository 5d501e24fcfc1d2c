"""Pixels and µm: one origin and one pair of axes, the full-resolution image's corner, x right, y down."""

from __future__ import annotations

import numpy as np


def px_to_um(xy_px: np.ndarray, mpp: float) -> np.ndarray:
    """Full-resolution pixels → µm.

    Parameters
    ----------
    xy_px
        float (n, 2), (x, y); pixel i covers [i, i + 1).
    mpp
        µm per full-resolution pixel.
    """
    return np.asarray(xy_px, np.float64) * mpp


def um_to_px(xy_um: np.ndarray, mpp: float) -> np.ndarray:
    """µm → pixels of an image of `mpp` µm per pixel; for a reduced image, `mpp` is the larger one."""
    return np.asarray(xy_um, np.float64) / mpp


def image_mpp(mpp: float, image_scale: float) -> float:
    """µm per pixel of an image that has `image_scale` pixels per full-resolution pixel."""
    return mpp / image_scale


def bounding_box(xy_um: np.ndarray, margin_um: float = 0.0) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) around the locations, widened by a margin on every side, in µm."""
    x0, y0 = np.min(xy_um, axis=0) - margin_um
    x1, y1 = np.max(xy_um, axis=0) + margin_um
    return float(x0), float(y0), float(x1), float(y1)


def inside(xy_um: np.ndarray, width_um: float, height_um: float) -> np.ndarray:
    """bool (n,): which locations lie within an image of that size."""
    return np.all((xy_um >= 0) & (xy_um <= (width_um, height_um)), axis=1)

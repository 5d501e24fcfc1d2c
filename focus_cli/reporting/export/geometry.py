"""Outlines of locations and the picture beneath them, in full-resolution pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from focus_cli.core.h5ad.pitch import location_pitch
from focus_cli.core.h5ad.spatial_file import SpatialFile

_BINS = ("visium_hd",)


@dataclass(frozen=True)
class Outline:
    """What one location covers: a disc or a square of `size` full-resolution pixels."""

    square: bool
    size: float


def outline(file: SpatialFile) -> Outline:
    """As the file states it; else discs that touch each other."""
    focus = file.focus
    square = focus.get("footprint_shape") == "square" or file.kind == "refined" or focus.get("platform") in _BINS
    mpp = _number(focus.get("mpp"))
    um = _number(focus.get("resolution_um")) if file.kind == "refined" else None
    um = um or _number(focus.get("footprint_um"))
    if um and mpp:
        return Outline(bool(square), um / mpp)
    if diameter := file.spot_diameter_px():
        return Outline(bool(square), diameter)
    return Outline(bool(square), location_pitch(file.xy))


def _number(value: Any) -> float | None:
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) and value > 0 else None


def picture(file: SpatialFile) -> tuple[np.ndarray, float] | None:
    """The best stored picture, uint8 (h, w, 3), and its pixels per full-resolution pixel."""
    found = next(iter(file.images()), None)
    return None if found is None else (found[1], found[2])

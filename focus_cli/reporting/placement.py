"""Pictures of how the locations lie on the H&E: as stored, and in all eight orientations that were compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focus_cli.core import keys
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.platforms.alignment import ORIENTATIONS, draw_locations, inside, orientation_frames, reorient, shrink
from focus_cli.reporting.context import mapping, number
from focus_cli.reporting.maps import data_uri

_WHOLE_SIDE = 900  # px
_PANEL_SIDE = 260
_PANEL_MOST = 2500  # locations drawn in a small panel


@dataclass(frozen=True)
class PlacedPicture:
    """A picture of locations on the H&E, its caption and its figures in words."""

    caption: str
    image: str  # data: address
    note: str


def placement_pictures(file: SpatialFile) -> tuple[PlacedPicture | None, list[PlacedPicture]]:
    """Draw the locations of a file over its picture.

    Returns
    -------
    whole, panels
        The locations as they are stored, and one small panel for each orientation that the file has figures of;
        None and an empty list where the file holds no picture.
    """
    found = next(iter(file.images()), None)
    if found is None or not len(file.xy):
        return None, []
    _, rgb, scale = found
    rgb = np.ascontiguousarray(np.asarray(rgb)[..., :3])
    level = np.asarray(file.obs[keys.TOTAL_COUNTS], float) if keys.TOTAL_COUNTS in file.obs else np.zeros(len(file.xy))
    alignment = mapping(file.focus.get("alignment"))
    radius = (file.spot_diameter_px() or 0.0) / 2
    small = shrink(rgb, _WHOLE_SIDE)
    factor = scale * small.shape[1] / rgb.shape[1]
    drawn = draw_locations(small, file.xy * factor, np.nan_to_num(level), radius * factor)
    whole = PlacedPicture("Locations on the H&E", data_uri(drawn, quality=80), _how(alignment))
    rows = alignment.get("orientations")
    panels = _panels(rgb, file.xy * scale, level, rows) if isinstance(rows, list) else []
    return whole, panels


def _how(alignment: dict) -> str:
    """How the place was found, where it was."""
    if registered := mapping(alignment.get("registration")):
        parts = [f"registered on {registered.get('on', 'locations')}"]
        parts += ["mirrored"] if registered.get("mirrored") else []
        for key, words in (("degrees_clockwise", "turned by {:.1f}°"), ("margin", "margin {:.2f}")):
            if (value := number(registered.get(key))) is not None:
                parts.append(words.format(value))
        return ", ".join(parts)
    if landmarks := mapping(alignment.get("landmarks")):
        missed = number(landmarks.get("left_out_um"))
        return "placed by landmarks" + (f", missed by {missed:.1f} µm when left out" if missed is not None else "")
    return ""


def _panels(rgb: np.ndarray, xy: np.ndarray, level: np.ndarray, rows: list) -> list[PlacedPicture]:
    small = shrink(rgb, _PANEL_SIDE)
    factor = small.shape[1] / rgb.shape[1]
    height, width = small.shape[:2]
    some = np.linspace(0, len(xy) - 1, min(len(xy), _PANEL_MOST)).astype(int)
    xy, level = xy[some] * factor, level[some]
    panels = []
    for row in rows:
        name = str(mapping(row).get("orientation", ""))
        if name not in ORIENTATIONS:
            continue
        index = ORIENTATIONS.index(name)
        # Of the two frames of exchanged axes, the one that holds more locations.
        places = [reorient(xy, *frame, index) for frame in orientation_frames(width, height, index)]
        place = max(places, key=lambda p: float(inside(p, width, height).mean()))
        drawn = draw_locations(small, place, level, max(1.0, 0.4 * np.sqrt(width * height / max(len(xy), 1))))
        on, like = number(row.get("on_tissue")), number(row.get("correlation"))
        note = " · ".join(
            words
            for words in (
                f"{on:.0%} on tissue" if on is not None else "",
                f"correlation {like:.2f}" if like is not None else "",
            )
            if words
        )
        panels.append(PlacedPicture(name, data_uri(drawn, quality=72), note))
    return panels

"""Geometry, platform, alignment, cell states and warnings stored in a file; all may be missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.h5ad.pitch import location_pitch
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.platform_names import TITLES
from focus_cli.reporting.maps import Frame, crop_image, data_uri

_TISSUE_SIDE = 1000
_MANY = 20_000
_FILLED = 0.94  # drawn size of a spot as a fraction of the pitch, so that patterns are visible
_BINNED = ("visium_hd",)
_NICE_UM = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


@dataclass(frozen=True)
class Fact:
    """A number with its name and a note."""

    name: str
    value: str
    small: str = ""


def mapping(value: Any) -> dict[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """`value` as a finite float, else None."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


@dataclass(frozen=True)
class Geometry:
    """Positions of locations on the slide and how they are drawn. Pixels are full-resolution pixels."""

    frame: Frame
    side: int
    mpp: float | None
    shape: str
    footprint_um: float | None
    pitch_px: float
    pitch_um: float | None  # of the platform, else as measured
    drawn_px: float
    tissue: str  # data: address of the H&E, cut to the frame

    @classmethod
    def of(cls, file: SpatialFile, side: int, *, frame: Frame | None = None, with_image: bool = True) -> Geometry:
        """Measure a file; `side` is the longer side of its maps in pixels."""
        focus = file.focus
        mpp = number(focus.get("mpp")) or _measured_mpp(file)
        mpp = mpp if mpp and mpp > 0 else None
        footprint = mapping(focus.get("footprint"))
        shape = str(footprint.get("shape", ""))
        if not shape:  # a grid this fine consists of bins
            bins = file.kind == "refined" or focus.get("platform") in _BINNED or len(file.xy) > _MANY
            shape = "square" if bins else "circle"
        size_um = number(footprint.get("size_um")) or number(focus.get("footprint_um"))
        if file.kind == "refined":
            size_um = number(focus.get("resolution_um")) or size_um
        if size_um is None and mpp and (diameter := file.spot_diameter_px()):
            size_um = diameter * mpp
        pitch = location_pitch(file.xy)
        stated = number(footprint.get("pitch_um")) or number(focus.get("pitch_um"))
        pitch_um = stated if stated and file.kind != "refined" else (pitch * mpp if mpp else None)
        square = shape == "square"
        drawn = pitch if square else _FILLED * pitch
        if frame is None:
            frame = Frame.around(file.xy, drawn / 2, side)
        cut = tissue_picture(file, frame, min(_TISSUE_SIDE, 2 * side)) if with_image else None
        tissue = "" if cut is None else data_uri(cut, quality=80)
        return cls(frame, side, mpp, shape, size_um, pitch, pitch_um, drawn, tissue)

    @property
    def square(self) -> bool:
        """Whether locations are drawn as squares."""
        return self.shape == "square"

    @property
    def pitch_words(self) -> str:
        """Centre-to-centre distance in µm, empty where the scale is not known."""
        return f"{self.pitch_um:.3g} µm" if self.pitch_um else ""

    @property
    def scale_bar(self) -> tuple[float, str] | None:
        """(percent of the map's width, words) of a round length near a fifth of the width."""
        if not self.mpp:
            return None
        width = self.frame.width * self.mpp
        length = max((u for u in _NICE_UM if u <= width / 4), default=None)
        if length is None:
            return None
        words = f"{length} µm" if length < 1000 else f"{length // 1000} mm"
        return round(100 * length / width, 2), words


def tissue_picture(file: SpatialFile, frame: Frame, side: int) -> np.ndarray | None:
    """The H&E within a frame, uint8 RGB with its longer side in px; None if the file has no image there."""
    for _, image, scale in file.images():
        cut = crop_image(image, scale, frame, side)
        if cut is not None:
            return cut
    return None


def _measured_mpp(file: SpatialFile) -> float | None:
    """µm per pixel from positions that are stored in both units."""
    um = file.obsm(keys.SPATIAL_UM)
    if um is None or np.shape(um)[0] != len(file.xy):
        return None
    wide_um = np.ptp(np.asarray(um, dtype=np.float64)[:, :2], axis=0).max()
    wide = np.ptp(file.xy, axis=0).max()
    return float(wide_um / wide) if wide > 0 else None


def footprint_words(geometry: Geometry) -> str:
    """The footprint of one location in words."""
    size, kind = geometry.footprint_um, "squares" if geometry.square else "spots"
    words = f"{size:.3g} µm {kind}" if size else kind
    return f"{words}, {geometry.pitch_words} apart" if geometry.pitch_words else words


def platform_words(focus: dict[str, Any]) -> str:
    """Name and version of the platform, empty if not stated."""
    platform = focus.get("platform")
    if isinstance(platform, str):
        return TITLES.get(platform, platform)
    platform = mapping(platform)
    name = str(platform.get("name", ""))
    return f"{TITLES.get(name, name)} {platform.get('version', '')}".strip()


def alignment_facts(focus: dict[str, Any]) -> list[Fact]:
    """Values of the alignment and orientation check that the file stores; tables are left out."""
    facts = []
    for key in ("alignment", "orientation"):
        value = focus.get(key)
        if isinstance(value, dict):
            plain = {k: v for k, v in sorted(value.items()) if not _is_table(v)}
            if isinstance(shift := plain.get("shift"), dict):
                plain["shift"] = _shift_words(shift)
            facts += [Fact(k.replace("_", " "), _words(v)) for k, v in plain.items() if _words(v)]
        elif value not in (None, "") and not _is_table(value):
            facts.append(Fact(key, _words(value)))
    return facts


def _shift_words(shift: dict[str, Any]) -> str:
    """Result of the check of small shifts."""
    if not shift.get("significant"):
        return "no better fit"
    right, down = shift.get("best_um", (0, 0))
    return f"better fit {right:g} µm to the right and {down:g} µm down"


def orientation_table(focus: dict[str, Any]) -> tuple[list[str], list[list[str]]] | None:
    """Headings and rows of the check of the eight orientations, in the order of the file."""
    rows = mapping(focus.get("alignment")).get("orientations")
    if not _is_table(rows):
        return None
    first = "orientation"
    names = [first, *sorted(k for k in rows[0] if k != first)]
    return [n.replace("_", " ") for n in names], [[_words(row.get(n)) for n in names] for row in rows]


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_words(v) for v in value[:12]) + (" …" if len(value) > 12 else "")
    if isinstance(value, dict):
        return "; ".join(f"{k} {_words(v)}" for k, v in list(value.items())[:12])
    return "" if value is None else str(value)


def state_names(table: Any, focus: dict[str, Any]) -> list[str]:
    """Names of the cell states: the columns of the table, else those in ``uns["focus"]``, else numbers."""
    width = np.asarray(table).shape[1]
    if hasattr(table, "columns"):
        return [str(c) for c in table.columns]
    for key in ("cell_states", "cell_state_names", "states"):
        names = focus.get(key)
        if isinstance(names, list) and len(names) == width:
            return [str(n) for n in names]
    return [f"state {i + 1}" for i in range(width)]


def by_type(names: list[str], shares: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Add the shares of states of one type, where states are called ``type_1``, ``type_2``, ….

    Parameters
    ----------
    names
        Names of the states (s,).
    shares
        float32 (n, s).

    Returns
    -------
    tuple
        Names of the types in order of appearance (t,) and float32 (n, t); as given where there is no series.
    """
    series = [re.fullmatch(r"(.+)[_ .:-]\d+", name) for name in names]
    types = list(dict.fromkeys(match[1] for match in series if match))
    if not all(series) or not 1 < len(types) < len(names):
        return names, shares
    summed = np.zeros((len(shares), len(types)), dtype=np.float32)
    for column, match in enumerate(series):
        summed[:, types.index(match[1])] += shares[:, column]
    return types, summed


def warnings_of(focus: dict[str, Any]) -> list[str]:
    """Warnings stored in a file."""
    value = focus.get("warnings", [])
    if isinstance(value, str):
        return [value] if value else []
    return [str(w) for w in value] if isinstance(value, list) else []

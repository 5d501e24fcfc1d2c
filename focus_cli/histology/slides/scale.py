"""µm per pixel along x and y, as the file itself states it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from focus_cli.core.errors import BadInputError

if TYPE_CHECKING:
    import tifffile

# A microscope image outside this range does not exist; 72 dpi (353 µm) and 1 px per inch do, by default.
PLAUSIBLE_MPP = (0.05, 20.0)
MAX_DIFFERENCE = 0.03  # x and y, or two statements of one file, that differ by more disagree
SQUARE_HINT = "resample the image to square pixels; or pass --mpp if both axes are in truth alike"
_UM_PER_UNIT = {
    "pm": 1e-6,
    "å": 1e-4,
    "nm": 1e-3,
    "µm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "dm": 1e5,
    "m": 1e6,
    "in": 25_400.0,
    "inch": 25_400.0,
}
_UM_PER_TAG_UNIT = {2: 25_400.0, 3: 10_000.0, 4: 1_000.0, 5: 1.0}  # inch, cm, mm, µm
_APERIO_MPP = re.compile(r"\bMPP\s*=\s*([0-9.]+)")
_MAX_TEXT = 1 << 20  # characters of a description that are searched


@dataclass(frozen=True)
class Stated:
    """What one place of a file states: µm per pixel along x and y, either of them None where it is not stated.

    Attributes
    ----------
    origin
        ``"OME-XML"``, ``"Aperio description"``, ``"ImageJ"``, ``"resolution tags"``, ``"OME-Zarr"`` or
        ``"vendor properties"``.
    """

    x: float | None
    y: float | None
    origin: str

    @classmethod
    def of(cls, x: float | None, y: float | None, origin: str) -> Stated:
        """Leave out what is no length: zero, negative and infinite values, NaN."""
        return cls(*(v if v is not None and math.isfinite(v) and v > 0 else None for v in (x, y)), origin)

    @property
    def usable(self) -> bool:
        """Whether one of the axes has a scale that a light microscope can have."""
        return plausible(self.x) or plausible(self.y)

    @property
    def square(self) -> bool:
        """Whether both axes agree, or one alone is stated."""
        return self.x is None or self.y is None or not differ(self.x, self.y)

    @property
    def mean(self) -> float:
        """Of the axes that are stated."""
        values = [v for v in (self.x, self.y) if v is not None]
        return sum(values) / len(values)


@dataclass(frozen=True)
class FileScale:
    """The scale of a file.

    Attributes
    ----------
    mpp
        µm per level-0 pixel, or None where the file states nothing plausible, or its axes disagree.
    origin
        Where it stands; "" without `mpp`.
    conflict
        The two figures, in words, where the axes differ by more than 3 %; else "".
    notes
        Other statements of the file that differ from `mpp` by more than 3 %, one line each.
    """

    mpp: float | None = None
    origin: str = ""
    conflict: str = ""
    notes: tuple[str, ...] = ()


def plausible(mpp: float | None) -> bool:
    """Whether `mpp` can be a light microscope's."""
    return mpp is not None and PLAUSIBLE_MPP[0] <= mpp <= PLAUSIBLE_MPP[1]


def differ(a: float, b: float) -> bool:
    """Whether two lengths differ by more than 3 %."""
    return max(a, b) > (1 + MAX_DIFFERENCE) * min(a, b)


def file_scale(stated: list[Stated]) -> FileScale:
    """Decide on one scale.

    Parameters
    ----------
    stated
        Statements of one file, the most trusted first.
    """
    usable = [one for one in stated if one.usable]
    for one in usable:
        if not one.square:
            figures = f"{one.x:.4g} along x, {one.y:.4g} along y"
            return FileScale(conflict=f"its µm per pixel differ between the axes: {figures} ({one.origin})")
    if not usable:
        return FileScale()
    first, *rest = usable
    notes = tuple(
        f"its µm per pixel are stated twice: {first.mean:.4g} ({first.origin}), which is used, "
        f"and {one.mean:.4g} ({one.origin})"
        for one in rest
        if differ(first.mean, one.mean)
    )
    return FileScale(first.mean, first.origin, notes=notes)


def require_square(path: Path, scale: FileScale) -> None:
    """Refuse a file whose axes have different scales.

    Raises
    ------
    BadInputError
        With both figures.
    """
    if scale.conflict:
        raise BadInputError(f"{path} has no single scale: {scale.conflict}", hint=SQUARE_HINT)


def tiff_scale(handle: tifffile.TiffFile, width: int) -> FileScale:
    """The scale by OME-XML, Aperio description, ImageJ's unit and resolution tags, in this order.

    Parameters
    ----------
    handle
        An open TIFF.
    width
        Width of level 0 in px: an OME document may describe several images.
    """
    page = handle.pages.first
    aperio = _aperio((page.description or "")[:_MAX_TEXT])
    stated = [_ome(handle, width), Stated.of(aperio, aperio, "Aperio description"), _imagej(handle, page), _tags(page)]
    return file_scale(stated)


def _length(text: str | None, unit: str | None) -> float | None:
    """µm of a number with a unit; None where either cannot be read."""
    try:
        return float(text) * _UM_PER_UNIT[(unit or "µm").strip().replace("μ", "µ").lower().replace("\\u00b5", "µ")]
    except (TypeError, ValueError, KeyError):
        return None


def _ome(handle: tifffile.TiffFile, width: int) -> Stated:
    nothing = Stated(None, None, "OME-XML")
    if not handle.is_ome:
        return nothing
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(handle.ome_metadata)
    except (ElementTree.ParseError, ValueError, TypeError):
        return nothing
    described = [node for node in root.iter() if node.tag.rsplit("}", 1)[-1] == "Pixels"]
    # The scale of a label or of a thumbnail is not that of the slide.
    own = [node for node in described if node.get("SizeX") == str(width)]
    for node in own or described:
        x, y = (_length(node.get(f"PhysicalSize{a}"), node.get(f"PhysicalSize{a}Unit")) for a in "XY")
        stated = Stated.of(x, y, "OME-XML")
        if stated.x is not None or stated.y is not None:
            return stated
    return nothing


def _aperio(description: str) -> float | None:
    found = _APERIO_MPP.search(description)
    try:
        return float(found.group(1)) if found else None
    except ValueError:
        return None


def _per_unit(page: tifffile.TiffPage) -> tuple[float | None, float | None]:
    """Units per pixel along x and y, where the tags are there."""
    lengths: list[float | None] = []
    for name in ("XResolution", "YResolution"):
        tag = page.tags.get(name)
        try:
            numerator, denominator = tag.value
            lengths.append(denominator / numerator)
        except (AttributeError, TypeError, ValueError, ZeroDivisionError):
            lengths.append(None)
    return lengths[0], lengths[1]


def _imagej(handle: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated:
    nothing = Stated(None, None, "ImageJ")
    if not handle.is_imagej:
        return nothing
    metadata = handle.imagej_metadata or {}
    unit = str(metadata.get("unit") or "")
    if not unit:
        return nothing
    x, y = _per_unit(page)
    return Stated.of(
        None if x is None else _length(str(x), unit),
        None if y is None else _length(str(y), str(metadata.get("yunit") or unit)),
        "ImageJ",
    )


def _tags(page: tifffile.TiffPage) -> Stated:
    unit = page.tags.get("ResolutionUnit")
    try:
        um = _UM_PER_TAG_UNIT.get(2 if unit is None else int(unit.value))  # an inch, where it is not stated
    except (TypeError, ValueError):
        um = None
    x, y = _per_unit(page)
    return Stated.of(*(None if um is None or v is None else um * v for v in (x, y)), "resolution tags")

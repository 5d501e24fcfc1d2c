"""µm per pixel, as the file itself states it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tifffile

# A microscope image outside this range does not exist; 72 dpi (353 µm) and 1 px per inch do, by default.
PLAUSIBLE_MPP = (0.05, 20.0)
_UM_PER_UNIT = {"nm": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
_UM_PER_TAG_UNIT = {2: 25_400.0, 3: 10_000.0, 4: 1_000.0, 5: 1.0}  # inch, cm, mm, µm
_APERIO_MPP = re.compile(r"\bMPP\s*=\s*([0-9.]+)")


def plausible(mpp: float | None) -> bool:
    """Whether `mpp` can be a light microscope's."""
    return mpp is not None and PLAUSIBLE_MPP[0] <= mpp <= PLAUSIBLE_MPP[1]


def read_mpp(handle: tifffile.TiffFile, width: int) -> tuple[float | None, str]:
    """Return µm per pixel and where it stands: OME-XML, Aperio description, ImageJ, resolution tags.

    Parameters
    ----------
    handle
        An open TIFF.
    width
        Width of level 0 in px: an OME document may describe several images.
    """
    page = handle.pages.first
    for origin, value in (
        ("OME-XML", _ome(handle, width)),
        ("Aperio description", _aperio(page.description or "")),
        ("resolution tags", _tags(handle, page)),
    ):
        if plausible(value):
            return value, origin
    return None, ""


def _ome(handle: tifffile.TiffFile, width: int) -> float | None:
    if not handle.is_ome:
        return None
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(handle.ome_metadata)
    except ElementTree.ParseError:
        return None
    described = [node for node in root.iter() if node.tag.rsplit("}", 1)[-1] == "Pixels"]
    described.sort(key=lambda node: node.get("SizeX") != str(width))  # stable: the image of that width first
    for node in described:
        try:
            size = float(node.get("PhysicalSizeX"))
            return size * _UM_PER_UNIT[node.get("PhysicalSizeXUnit", "µm")]
        except (TypeError, ValueError, KeyError):
            continue
    return None


def _aperio(description: str) -> float | None:
    found = _APERIO_MPP.search(description)
    try:
        return float(found.group(1)) if found else None
    except ValueError:
        return None


def _tags(handle: tifffile.TiffFile, page) -> float | None:
    per_unit = page.resolution[0]
    if not per_unit or per_unit <= 0:
        return None
    unit = _UM_PER_TAG_UNIT.get(int(page.resolutionunit))
    if unit is None and handle.is_imagej:
        unit = _UM_PER_UNIT.get(str((handle.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ"))
    return unit / per_unit if unit else None

"""Names and display colours that a TIFF states of its channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from focus_cli.histology.slides.planes import Channels

if TYPE_CHECKING:
    import tifffile

_PAGE_NAME = 285


def channels_of(handle: tifffile.TiffFile, pages: list[tifffile.TiffPage]) -> Channels:
    """By OME-XML, ImageJ's labels, or the names of the directories `pages`, one for each channel."""
    if handle.is_ome:
        return _ome(handle, pages)
    if handle.is_imagej:
        labels = (handle.imagej_metadata or {}).get("Labels") or []
        return Channels(tuple(str(label) for label in labels)) if len(labels) == len(pages) else Channels()
    return Channels(tuple(str(page.tags.valueof(_PAGE_NAME, default="")) for page in pages))


def _ome(handle: tifffile.TiffFile, pages: list[tifffile.TiffPage]) -> Channels:
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(handle.ome_metadata)
    except (ElementTree.ParseError, ValueError, TypeError):
        return Channels()
    width = str(pages[0].imagewidth)
    for node in root.iter():
        if node.tag.rsplit("}", 1)[-1] != "Pixels" or node.get("SizeX") != width:
            continue
        channels = [child for child in node if child.tag.rsplit("}", 1)[-1] == "Channel"]
        if len(channels) == 3:
            names = tuple(channel.get("Name", "") for channel in channels)
            return Channels(names, tuple(_shown(channel.get("Color")) for channel in channels))
    return Channels()


def _shown(colour: str | None) -> str:
    """RRGGBB of OME's signed 32-bit RGBA; its default, opaque white, states nothing."""
    try:
        value = int(colour) & 0xFFFFFFFF
    except (TypeError, ValueError):
        return ""
    return "" if value == 0xFFFFFFFF else f"{value >> 8:06X}"

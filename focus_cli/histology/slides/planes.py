"""Three grey planes that are the red, green and blue of one picture, and those that are stains of fluorescence.

Converters write a colour image as three planes of one channel each; a fluorescence stack looks the same in its
directories. Names and display colours decide where the file states them, else the colours of the composed picture do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from focus_cli.histology.slides.histology import is_histology
from focus_cli.histology.slides.sampling import sampled_pixels

if TYPE_CHECKING:
    from focus_cli.histology.slides.level import Level

RGB = ("red", "green", "blue")
_SHORT = {"r": "red", "g": "green", "b": "blue", "rot": "red", "grün": "green", "blau": "blue"}
# Default names of channels.
_UNNAMED = re.compile(r"(channel|chan|ch|c|sample|band|component|plane)?[\s:_#-]*[\d:\s]*", re.IGNORECASE)
_RGB_SHOWN = ("FF0000", "00FF00", "0000FF")
_CONVERT = (
    "if they are the planes of an RGB image: python -c \"import tifffile as t; t.imwrite('rgb.tif', "
    "t.imread('{name}'), photometric='rgb'{planar})\", and give rgb.tif; else give the H&E"
)


class Channels(NamedTuple):
    """What a file states of its channels.

    Attributes
    ----------
    names
        Of the channels, "" where there is none.
    colours
        RRGGBB in which each is shown, "" where the file states none.
    """

    names: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()


def rgb_order(channels: Channels) -> tuple[int, int, int] | None:
    """Index of the red, green and blue channel; None where the names do not state it, or there are not three."""
    names = [_SHORT.get(key, key) for key in (re.sub(r"\W+", "", name).lower() for name in channels.names)]
    if sorted(names) == sorted(RGB):
        return tuple(names.index(colour) for colour in RGB)
    return None


def other_stains(channels: Channels) -> str:
    """The names or display colours by which channels are no red, green and blue; "" if none excludes it."""
    if rgb_order(channels) is not None:
        return ""
    named = [name for name in channels.names if not _UNNAMED.fullmatch(name.strip())]
    if named:
        return ", ".join(named)
    shown = tuple(colour.upper() for colour in channels.colours)
    if any(shown) and shown != _RGB_SHOWN and set(shown) - {"FFFFFF", "808080", ""}:
        return ", ".join(f"shown as {colour or 'nothing'}" for colour in shown)
    return ""


def looks_coloured(levels: list[Level]) -> str:
    """Why three planes taken for red, green and blue are no H&E; "" where they look like one."""
    return is_histology(sampled_pixels(levels))[1].reason


def conversion_hint(name: str, separate: bool) -> str:
    """How planes, each by itself (`separate`) or pixel by pixel, become a colour image."""
    return _CONVERT.format(name=name, planar=", planarconfig='separate'" if separate else "")

"""What every source of pixels looks like: levels, widest first, that hand out windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from focus_cli.histology.slides.scale import FileScale

# The most pixels that are ever decoded in one piece; 1 Gpx is 3 GB as RGB.
MAX_PIECE_PIXELS = 1_000_000_000
WHITE = 255
MAX_STRETCH = 0.03  # a level whose sides shrink by factors that differ by more is another picture
MAX_DAMAGED = 0.01  # share of a slide's tiles that may be damaged before a stage refuses the slide
RGB_HINT = "give the H&E as an 8-bit RGB image"
BROKEN_HINT = "copy the file again; it is incomplete or damaged"
_TURNED = {
    2: "mirrored",
    3: "turned by 180°",
    4: "mirrored top to bottom",
    5: "mirrored and turned",
    6: "turned by 90° to the right",
    7: "mirrored and turned",
    8: "turned by 90° to the left",
}


class Level(Protocol):
    """One resolution of a slide; threads may read it side by side.

    `width` and `height` are in the level's own pixels; `n_tiles` is the number of pieces that can be damaged alone.
    """

    width: int
    height: int
    n_tiles: int

    def window(self, x0: int, y0: int, x1: int, y1: int, holes: list[int] | None = None) -> np.ndarray:
        """Return uint8 RGB of shape (y1 - y0, x1 - x0, 3); the window lies inside the level.

        Where `holes` is given, pieces that cannot be decoded are white and their numbers are appended to it;
        else they raise `BadInputError`.
        """


@dataclass
class Source:
    """An opened image file.

    Attributes
    ----------
    levels
        Level 0 first, every next one smaller.
    scale
        µm per level-0 pixel by the file's own metadata.
    notes
        What was assumed of the file, one line each.
    """

    levels: list[Level]
    scale: FileScale = field(default_factory=FileScale)
    notes: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Release the file."""


def on_white(pixels: np.ndarray, premultiplied: bool = False) -> np.ndarray:
    """Lay RGBA over white.

    Parameters
    ----------
    pixels
        uint8 (h, w, 4); the last channel is opacity.
    premultiplied
        Whether the colours were multiplied by the opacity already (TIFF's "associated" alpha).

    Returns
    -------
    np.ndarray
        uint8 (h, w, 3).
    """
    alpha = pixels[..., 3:]
    if alpha.size and alpha.min() == 255:
        return np.ascontiguousarray(pixels[..., :3])
    opacity = alpha.astype(np.uint16)
    colour = pixels[..., :3].astype(np.uint16)
    if not premultiplied:
        colour = (colour * opacity + 127) // 255
    return np.minimum(colour + (255 - opacity), 255).astype(np.uint8)


def is_reduced(last: Level, base: Level, width: int, height: int) -> bool:
    """Whether an image of this size is the next level of a pyramid: smaller than the last, of the shape of the base."""
    if not (0 < width < last.width and 0 < height < last.height):
        return False
    stretch = (base.width / width) / (base.height / height)
    return abs(stretch - 1) <= MAX_STRETCH + 1 / width + 1 / height  # sides are whole pixels


def orientation_notes(path: Path, orientation: object) -> list[str]:
    """State that a file instructs viewers to turn or mirror it (tag 274 of TIFF and EXIF), which is not done here."""
    if orientation not in _TURNED:
        return []
    return [
        f"{path.name} states that viewers show it {_TURNED[orientation]} (orientation {orientation}): "
        "its pixels are read as they are stored"
    ]


def pyramid_hint(name: str, stem: str) -> str:
    """Return the command that turns an image into a pyramidal TIFF."""
    return f"convert it: vips tiffsave {name} {stem}.pyramid.tif --tile --pyramid --bigtiff --compression jpeg"

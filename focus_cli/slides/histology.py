"""Whether a picture is an H&E: fluorescence, drawings and Space Ranger's overlays are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focus_cli.slides.stain import optical_density

_COLOURED = 0.06  # spread of optical density over the channels above which a pixel has a colour
_MIN_COLOURED = 0.02
_MIN_PALE = 100.0
_DARK, _MAX_DARK = 60, 0.5
_MIN_STAIN_HUE = 0.6
_MAX_PURE = 0.02
_MAX_SIDE = 1024


@dataclass(frozen=True)
class HistologyFigures:
    """What `is_histology` measured.

    Attributes
    ----------
    pale
        95th percentile of the mean of the channels, 0–255: the glass or the palest tissue.
    dark
        Fraction of pixels whose channels' mean is below 60: an empty field in fluorescence.
    coloured
        Fraction of pixels that have a colour.
    stain_hue
        Fraction of the coloured pixels between pink and blue: green light is not absorbed least, nor blue
        light most. Brown, yellow, green and red are not there.
    pure
        Fraction of all pixels in a pure red, green, blue, cyan, magenta or yellow: lines drawn by software.
    reason
        Empty for an H&E, else why it is not one.
    """

    pale: float
    dark: float
    coloured: float
    stain_hue: float
    pure: float
    reason: str


def is_histology(rgb: np.ndarray) -> tuple[bool, HistologyFigures]:
    """Judge whether a picture is an H&E section in transmitted light.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3); a thumbnail will do.

    Returns
    -------
    bool
        Whether it is.
    HistologyFigures
        The measurements, with the reason where it is not.
    """
    stride = max(1, max(rgb.shape[:2]) // _MAX_SIDE)
    pixels = rgb[::stride, ::stride].reshape(-1, 3)
    density = optical_density(pixels)
    spread = density.max(axis=1) - density.min(axis=1)
    # Near black a step of one grey level is a large density: colour there is noise.
    coloured = (spread > _COLOURED) & (pixels.max(axis=1) > 40)
    red, green, blue = density[coloured].T if coloured.any() else np.zeros((3, 1), np.float32)
    pure = (pixels.max(axis=1) > 220) & (pixels.min(axis=1) < 30)
    brightness = pixels.mean(axis=1)
    figures = {
        "pale": float(np.percentile(brightness, 95)),
        "dark": float((brightness < _DARK).mean()),
        "coloured": float(coloured.mean()),
        "stain_hue": float(((blue < np.maximum(red, green)) & (green > np.minimum(red, blue))).mean()),
        "pure": float(pure.mean()),
    }
    return (not (reason := _reason(**figures))), HistologyFigures(**figures, reason=reason)


def _reason(pale: float, dark: float, coloured: float, stain_hue: float, pure: float) -> str:
    if pale < _MIN_PALE or dark > _MAX_DARK:
        return "it is dark where an H&E is pale, as fluorescence is"
    if coloured < _MIN_COLOURED:
        return "it is grey or blank"
    if pure > _MAX_PURE:
        return "it has pure screen colours, as drawings and overlays have"
    if stain_hue < _MIN_STAIN_HUE:
        return "its colours are not those of haematoxylin and eosin"
    return ""

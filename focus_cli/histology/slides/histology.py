"""Whether an image is an H&E: fluorescence, drawings and Space Ranger's overlays are not.

Viewers and annotation tools paint the background of a section black or grey. Fluorescence is black beside its signal,
too; what parts them is the rest of the picture. Beside painted background stand the pale colours of an H&E; in
fluorescence, intensities down to the dark.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from focus_cli.histology.slides.stain import optical_density

_COLOURED = 0.06  # spread of optical density over the channels above which a pixel has a colour
_MIN_COLOURED = 0.02
_MIN_PALE = 100.0
_DARK, _MAX_DARK = 60, 0.5
_MIN_STAIN_HUE = 0.6
_MAX_PURE = 0.02
_MAX_SIDE = 1024
_NEUTRAL = 12  # a background is grey: its channels differ by no more
_PALEST_PAINT = 200  # paler grey is glass
_FLAT, _FLAT_SHARE = 4, 0.7  # paint has one value: so many of the pixels near it lie within this many grey levels
_BLACK, _NEAR_BLACK, _NEAR_GREY = 12, 20, 6  # what counts as black, and how far pixels of the paint may be from it
_MIN_BLACK, _MIN_GREY = 0.01, 0.05  # share of the picture
_MIN_REST, _MIN_REST_MEDIAN, _MAX_REST_DARK = 0.02, 85.0, 0.2
_UNLIT, _MAX_UNLIT = 30, 0.15  # black that is no paint
_DARK_REASON = "it is dark where an H&E is pale, as fluorescence is"
_DEEP, _MAX_DEEP = 30, 0.15  # display colours of fluorescence have channels at zero, stained tissue has not


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


@dataclass(frozen=True)
class Paint:
    """A painted background.

    Attributes
    ----------
    value
        Its grey value, 0–199.
    share
        Of the picture that it covers.
    """

    value: int
    share: float

    def mask(self, rgb: np.ndarray) -> np.ndarray:
        """Where pixels, uint8 (..., 3), are paint: bool (...)."""
        near = _NEAR_BLACK if self.value <= _BLACK else _NEAR_GREY
        low, high = max(0, self.value - near), self.value + near
        return (rgb.min(axis=-1) >= low) & (rgb.max(axis=-1) <= high)

    def removed(self, rgb: np.ndarray) -> np.ndarray:
        """A copy of a picture, uint8 (h, w, 3), with white in the place of the paint."""
        return np.where(self.mask(rgb)[..., None], np.uint8(255), rgb)

    def words(self) -> str:
        """For a warning."""
        return f"{'black' if self.value <= _BLACK else 'grey'}, {self.share:.0%} of it"


def find_paint(rgb: np.ndarray) -> Paint | None:
    """Find the background of an H&E that was painted black or in one dark grey.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3); a thumbnail will do.

    Returns
    -------
    Paint or None
        None also where what is not painted is no H&E.
    """
    pixels = _thinned(rgb)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    grey = (high - low <= _NEUTRAL) & (high < _PALEST_PAINT)
    if grey.mean() < _MIN_BLACK:
        return None
    values = np.bincount(pixels[grey].mean(axis=1).astype(int), minlength=256)
    value = int(values.argmax())
    paint = Paint(value, 0.0)
    on = paint.mask(pixels)
    flat = values[max(0, value - _FLAT) : value + _FLAT + 1].sum()
    share = float(on.mean())
    if share < (_MIN_BLACK if value <= _BLACK else _MIN_GREY) or flat < _FLAT_SHARE * on.sum():
        return None
    rest = pixels[~on]
    if len(rest) < _MIN_REST * len(pixels) or _figures(rest).reason:
        return None
    brightness = rest.mean(axis=1)
    dark, deep = (brightness < _DARK).mean(), (rest.min(axis=1) < _DEEP).mean()
    if np.median(brightness) < _MIN_REST_MEDIAN or dark > _MAX_REST_DARK or deep > _MAX_DEEP:
        return None
    return Paint(value, share)


def is_histology(rgb: np.ndarray) -> tuple[bool, HistologyFigures]:
    """Decide whether an image is an H&E section in transmitted light.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3); a thumbnail will do.

    Returns
    -------
    bool
        Whether it is.
    HistologyFigures
        The measurements, with the reason where it is not; of a picture with painted background, those of the rest.
    """
    pixels = _thinned(rgb)
    paint = find_paint(rgb)
    figures = _figures(pixels if paint is None else pixels[~paint.mask(pixels)])
    if paint is None and not figures.reason and (pixels.max(axis=1) < _UNLIT).mean() > _MAX_UNLIT:
        figures = replace(figures, reason=_DARK_REASON)
    return not figures.reason, figures


def _thinned(rgb: np.ndarray) -> np.ndarray:
    """Pixels of a picture, uint8 (n, 3), at most about a million."""
    stride = max(1, max(rgb.shape[:2]) // _MAX_SIDE)
    return rgb[::stride, ::stride].reshape(-1, 3)


def _figures(pixels: np.ndarray) -> HistologyFigures:
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
    return HistologyFigures(**figures, reason=_reason(**figures))


def _reason(pale: float, dark: float, coloured: float, stain_hue: float, pure: float) -> str:
    if pale < _MIN_PALE or dark > _MAX_DARK:
        return _DARK_REASON
    if coloured < _MIN_COLOURED:
        return "it is grey or blank"
    if pure > _MAX_PURE:
        return "it has pure screen colours, as drawings and overlays have"
    if stain_hue < _MIN_STAIN_HUE:
        return "its colours are not those of haematoxylin and eosin"
    return ""

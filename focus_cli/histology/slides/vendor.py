"""Vendors' formats through openslide: Hamamatsu, MIRAX, Leica, Ventana, Philips, Trestle, DICOM and others.

openslide is an extra (``pip install focus-st[wsi]``) and is loaded only for files that need it.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.histology.slides.level import BROKEN_HINT, MAX_PIECE_PIXELS, WHITE, Source, on_white, pyramid_hint
from focus_cli.histology.slides.scale import Stated, file_scale

VENDOR_SUFFIXES = (".ndpi", ".ndpis", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".dcm", ".czi")
_EXTRA_HINT = "pip install focus-st[wsi]"


def has_openslide(path: Path) -> bool:
    """Whether openslide is installed and reads the file's format."""
    if find_spec("openslide") is None:
        return False
    import openslide

    try:
        return openslide.OpenSlide.detect_format(str(path)) is not None
    except (OSError, openslide.OpenSlideError):
        return False


class VendorSource(Source):
    """An opened slide of openslide's.

    One handle serves all threads. After an error openslide refuses everything more of that handle, to whoever
    requires it. What failed is tried once more with a fresh one, which replaces the spoilt one if it was not to blame:
    one damaged tile costs neither its neighbours nor the rest of the slide.
    """

    def __init__(self, path: Path, handle) -> None:
        self.path, self._handle, self._lock = path, handle, threading.Lock()
        sizes = list(zip(handle.level_dimensions, handle.level_downsamples))
        x, y = (_number(handle.properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
        super().__init__(
            levels=[VendorLevel(self, i, size, factor) for i, (size, factor) in enumerate(sizes)],
            scale=file_scale([Stated.of(x, y, "vendor properties")]),
        )

    def region(self, level: int, corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """Return uint8 RGBA (h, w, 4); `corner` in level-0 px, `size` (w, h) in the level's.

        Raises
        ------
        BadInputError
            If it cannot be decoded.
        """
        import openslide

        handle = self._handle
        try:
            return np.asarray(handle.read_region(corner, level, size))
        except (OSError, openslide.OpenSlideError):
            pass  # another thread's tile may have spoilt the handle
        try:
            fresh = openslide.OpenSlide(str(self.path))
            pixels = np.asarray(fresh.read_region(corner, level, size))
        except (OSError, openslide.OpenSlideError) as error:
            raise BadInputError(f"cannot decode a part of {self.path}: {error}", hint=BROKEN_HINT) from error
        with self._lock:
            if self._handle is handle:
                self._handle = fresh
        return pixels

    def close(self) -> None:
        """Release the file."""
        self._handle.close()


class VendorLevel:
    """One resolution of a `VendorSource`."""

    n_tiles = 1  # openslide does not report which of a slide's tiles it failed at

    def __init__(self, source: VendorSource, index: int, size: tuple[int, int], factor: float) -> None:
        self._source, self._index, self._factor = source, index, factor
        self.width, self.height = size

    def window(self, x0: int, y0: int, x1: int, y1: int, holes: list[int] | None = None) -> np.ndarray:
        """Return uint8 RGB (y1 - y0, x1 - x0, 3); where it cannot be decoded the whole window is a hole."""
        corner = round(x0 * self._factor), round(y0 * self._factor)
        if (x1 - x0) * (y1 - y0) > MAX_PIECE_PIXELS:
            path = self._source.path
            raise BadInputError(
                f"{(x1 - x0) * (y1 - y0) / 1e9:.1f} gigapixels of {path} were requested in one piece",
                hint=pyramid_hint(path.name, path.stem),
            )
        try:
            return on_white(self._source.region(self._index, corner, (x1 - x0, y1 - y0)))
        except BadInputError:
            if holes is None:
                raise
            holes.append(0)
            return np.full((y1 - y0, x1 - x0, 3), WHITE, np.uint8)


def open_vendor(path: Path) -> VendorSource:
    """Open a slide with openslide.

    Raises
    ------
    MissingResourceError
        If openslide is not installed.
    BadInputError
        If openslide does not know the format or cannot read the file.
    """
    try:
        import openslide
    except (ImportError, OSError) as error:  # OSError: the Python part without the C library
        raise MissingResourceError(
            f"reading {path} needs openslide, which is not installed", hint=_EXTRA_HINT
        ) from error
    try:
        return VendorSource(path, openslide.OpenSlide(str(path)))
    except (OSError, openslide.OpenSlideError) as error:
        raise BadInputError(f"openslide cannot read {path}: {error}", hint=_hint(path)) from error


def _hint(path: Path) -> str:
    """What to do about a slide that openslide cannot read."""
    with open(path, "rb") as file:
        plain = file.read(4) in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
    if plain and not has_openslide(path):
        return f"copy the file again; if it is an ordinary TIFF and no scanner's, call it {path.stem}.tif"
    return BROKEN_HINT


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None

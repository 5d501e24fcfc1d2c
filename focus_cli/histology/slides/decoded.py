"""JPEG and PNG: decoded once, at the first read, and kept as an array."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.histology.slides.level import (
    BROKEN_HINT,
    MAX_PIECE_PIXELS,
    RGB_HINT,
    Source,
    on_white,
    orientation_notes,
    pyramid_hint,
)

_ORIENTATION = 274
_TAIL_BYTES = 65_536  # scanners append notes after the end mark
_END_MARK = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
# A byte of deflate unpacks to 1,032 at most; a palette of one bit has eight pixels in each of them.
_MAX_PX_PER_BYTE, _FEW_PIXELS = 8 * 1_032, 1 << 20
_COLOUR_MODES = {"JPEG": ("RGB",), "PNG": ("RGB", "RGBA", "P")}
_FORMATS_HINT = "FOCUS reads TIFF, OME-TIFF, SVS, OME-Zarr, JPEG, PNG, and vendor formats through openslide"


class PlainLevel:
    """The only level of an image without tiles."""

    n_tiles = 1

    def __init__(self, path: Path, kind: str, mode: str, width: int, height: int) -> None:
        self.path, self.kind, self.mode = path, kind, mode
        self.width, self.height = width, height
        self._pixels: np.ndarray | None = None
        self._lock = threading.Lock()  # gigabytes are not decoded twice

    def window(self, x0: int, y0: int, x1: int, y1: int, holes: list[int] | None = None) -> np.ndarray:
        """Return uint8 RGB (y1 - y0, x1 - x0, 3).

        The image is one piece: where it cannot be decoded nothing is left, and `holes` are not reported.
        """
        with self._lock:
            if self._pixels is None:
                self._pixels = self._decode()
            return self._pixels[y0:y1, x0:x1]

    def _decode(self) -> np.ndarray:
        import imagecodecs

        try:
            # Straight into one array: Pillow would hold a second copy of four bytes a pixel.
            if self.kind == "JPEG":
                pixels = imagecodecs.jpeg_decode(self.path.read_bytes())
            elif self.mode == "P" or not imagecodecs.SPNG.available or _has_key_colour(self.path):
                pixels = _decode_with_pillow(self.path)
            else:  # by libspng: libpng writes of damage on stderr
                pixels = imagecodecs.spng_decode(self.path.read_bytes())
        except Exception as error:  # codecs raise kinds of their own
            raise BadInputError(f"cannot decode {self.path}: {error}", hint=BROKEN_HINT) from error
        if pixels.dtype != np.uint8:
            raise BadInputError(f"{self.path} has {8 * pixels.dtype.itemsize} bits a channel", hint=RGB_HINT)
        if pixels.ndim != 3 or pixels.shape[:2] != (self.height, self.width) or pixels.shape[2] not in (3, 4):
            raise BadInputError(f"{self.path} decodes to an array of shape {pixels.shape}", hint=RGB_HINT)
        return on_white(pixels) if pixels.shape[2] == 4 else pixels


def _has_key_colour(path: Path) -> bool:
    """Whether a PNG without alpha has a colour that is transparent, which libspng leaves as it is."""
    from PIL import Image

    with warnings.catch_warnings(), _pillow_without_bound(), Image.open(path) as image:
        warnings.simplefilter("ignore")
        return "transparency" in image.info


def _decode_with_pillow(path: Path) -> np.ndarray:
    from PIL import Image

    with warnings.catch_warnings(), _pillow_without_bound(), Image.open(path) as image:
        warnings.simplefilter("ignore")
        return np.asarray(image.convert("RGBA"))


class _pillow_without_bound:
    """Lift Pillow's own pixel bound for a block; ours is checked instead."""

    def __enter__(self) -> None:
        from PIL import Image

        self._bound, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None

    def __exit__(self, *_) -> None:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = self._bound


def open_plain(path: Path) -> Source:
    """Read the header of a JPEG or PNG and check that the file is whole and is a colour image.

    Raises
    ------
    BadInputError
        If it is neither, is truncated, is not 8-bit colour, or has more than `MAX_PIECE_PIXELS`.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings(), _pillow_without_bound(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            kind, mode, (width, height) = image.format, image.mode, image.size
    except Exception as error:  # Pillow's plug-ins raise whatever they like
        raise BadInputError(f"{path} is not a readable image: {error}", hint=_FORMATS_HINT) from error
    if kind not in _END_MARK:
        raise BadInputError(f"{path} is a {kind} image", hint=_FORMATS_HINT)
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        if _END_MARK[kind] not in handle.read():
            raise BadInputError(f"{path} is truncated: its end mark is missing", hint=BROKEN_HINT)
    if mode not in _COLOUR_MODES[kind]:
        raise BadInputError(f"{path} is not an 8-bit colour image (mode {mode})", hint=RGB_HINT)
    if width < 1 or height < 1:
        raise BadInputError(f"{path} has no pixels: {width} × {height}", hint=BROKEN_HINT)
    if width * height > _FEW_PIXELS + _MAX_PX_PER_BYTE * path.stat().st_size:
        raise BadInputError(
            f"{path} is truncated or damaged: its header states {width:,} × {height:,} px, "
            f"which {path.stat().st_size:,} bytes cannot hold",
            hint=BROKEN_HINT,
        )
    if width * height > MAX_PIECE_PIXELS:
        raise BadInputError(
            f"{path} has {width * height / 1e9:.1f} gigapixels and no tiles", hint=pyramid_hint(path.name, path.stem)
        )
    return Source([PlainLevel(path, kind, mode, width, height)], notes=orientation_notes(path, _orientation(path)))


def _orientation(path: Path) -> object:
    """EXIF's orientation of a picture; None where there is none that can be read.

    For a PNG Pillow allocates and decodes all pixels, so the size that the header states must have been checked.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings(), _pillow_without_bound(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            return image.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF raises whatever it likes, and the pixels need none
        return None

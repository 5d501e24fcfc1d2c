"""TIFF in its dialects: tiled, striped, pyramidal, BigTIFF, OME-TIFF, Aperio SVS.

tifffile reads the directories; after that it is closed. Bytes come by `os.pread`, which has no position to
share, and are decoded without a lock, so that threads read side by side.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from io import FileIO
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from focus_cli.errors import BadInputError
from focus_cli.slides.cache import TileCache
from focus_cli.slides.level import BROKEN_HINT, RGB_HINT, WHITE, Source, on_white
from focus_cli.slides.scale import read_mpp
from focus_cli.slides.tiled import TiledLevel

CACHE_BYTES = 96 * 2**20
_APERIO_YCBCR = 33003
_JPEG = 7
_RGB, _YCBCR = 2, 6
_END_OF_JPEG = b"\xff\xd9"
_UNREADABLE = (
    tifffile.TiffFileError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ArithmeticError,
    AttributeError,
)


class UnknownTiffError(BadInputError):
    """A TIFF whose structure we cannot make sense of; another reader may."""


class TiffLevel(TiledLevel):
    """One image file directory, read tile by tile."""

    def __init__(
        self, path: Path, index: int, page: tifffile.TiffPage, file: FileIO, cache: TileCache, *, cut: bool
    ) -> None:
        width, height = int(page.imagewidth), int(page.imagelength)
        self._size = os.fstat(file.fileno()).st_size
        _check(path, page, self._size, cut)
        if page.is_tiled:
            tile = int(page.tilewidth), int(page.tilelength)
        else:  # a strip is a tile as wide as the image
            tile = width, min(int(page.rowsperstrip), height)
        super().__init__(path, index, (width, height), tile, cache)
        self._file = file
        # As arrays: Python's integers take 80 bytes a tile. The page gives its own up in `_forget_tables`.
        self._offsets, self._counts = np.array(page.dataoffsets, np.int64), np.array(page.databytecounts, np.int64)
        self._compression, self._samples = int(page.compression), int(page.samplesperpixel)
        self._planar = int(page.planarconfig) == 2
        self._alpha = int(page.extrasamples[0]) if page.extrasamples else 0  # 1: associated, 2: unassociated
        self._decode_segment = page.decode  # made at the first use, which threads must not share
        self._tables = page.jpegtables
        self._jpeg = _jpeg_colours(page)

    def _decode(self, number: int) -> np.ndarray:
        if self._planar:
            pixels = np.concatenate([self._segment(number + k * self.n_tiles) for k in range(self._samples)], axis=2)
        else:
            pixels = self._segment(number)
        if self._compression == _APERIO_YCBCR:
            pixels = _from_ycbcr(pixels)
        if pixels.shape[2] == 3:
            return pixels
        if self._alpha:
            return on_white(pixels, premultiplied=self._alpha == 1)
        return np.ascontiguousarray(pixels[..., :3])

    def _decode_into(self, number: int, out: np.ndarray) -> None:
        if self._jpeg is None or self._counts[number] == 0:
            super()._decode_into(number, out)
            return
        data = self._bytes(number)
        with _Refusing(self, number):
            imagecodecs.jpeg8_decode(data, tables=self._tables, out=out, **self._jpeg)

    def _segment(self, number: int) -> np.ndarray:
        """Decode one tile, or one colour of it where colours lie apart."""
        if self._counts[number] == 0:  # sparse files leave out empty tiles
            samples = 1 if self._planar else self._samples
            return np.full((self.tile_height, self.tile_width, samples), WHITE, np.uint8)
        data = self._bytes(number)
        tables = {} if self._tables is None else {"jpegtables": self._tables}
        with _Refusing(self, number):
            pixels, _, _ = self._decode_segment(data, number, **tables)
        return pixels[0]

    def _bytes(self, number: int) -> bytes:
        count, offset = int(self._counts[number]), int(self._offsets[number])
        with _Refusing(self, number):
            if offset + count > self._size:  # also where damage makes it absurdly long
                raise ValueError(f"the file ends {offset + count - self._size} bytes before the tile does")
            data = os.pread(self._file.fileno(), count, offset)
            # A JPEG that was cut decodes without complaint, to grey.
            if self._compression == _JPEG and data.rfind(_END_OF_JPEG) < 0:
                raise ValueError("its JPEG has no end")
        return data


class _Refusing:
    """Turn what decoders raise inside a block into `BadInputError`."""

    def __init__(self, level: TiffLevel, number: int) -> None:
        self._level, self._number = level, number

    def __enter__(self) -> None: ...

    def __exit__(self, _, error: BaseException | None, __) -> None:
        if isinstance(error, _UNREADABLE):
            message = f"cannot decode tile {self._number} of {self._level.path}: {error}"
            raise BadInputError(message, hint=BROKEN_HINT) from error


def _jpeg_colours(page: tifffile.TiffPage) -> dict[str, int | None] | None:
    """Return how the tiles' JPEG says its colours, or None where they are no plain three-channel JPEG.

    A JPEG without JFIF mark in a TIFF that says RGB holds RGB (Aperio), whatever its decoder would guess.
    """
    plain = int(page.compression) == _JPEG and page.planarconfig == 1 and page.samplesperpixel == 3
    if not plain or not page.is_tiled or page.jpegheader is not None or page.extrasamples:
        return None
    raw = int(page.photometric) == _RGB and not page.is_jfif
    return {"colorspace": _RGB if raw else None, "outcolorspace": _RGB}


def _check(path: Path, page: tifffile.TiffPage, size: int, cut: bool) -> None:
    """Refuse what is not an 8-bit colour image, and a file that ends before its pixels do (unless `cut`)."""
    photometric = int(page.photometric)
    if page.dtype != np.uint8:
        kind = f"{page.dtype} with {page.samplesperpixel} channel{'s' if page.samplesperpixel > 1 else ''}"
        raise BadInputError(f"{path} is not an H&E image: its pixels are {kind}", hint=RGB_HINT)
    if page.samplesperpixel not in (3, 4) or photometric not in (_RGB, _YCBCR):
        raise BadInputError(
            f"{path} is not an H&E image: {page.samplesperpixel} channel(s), photometric {photometric}",
            hint=RGB_HINT,
        )
    offsets, counts = page.dataoffsets, page.databytecounts
    if not offsets or len(offsets) != len(counts):
        raise BadInputError(f"{path} is damaged: its table of tiles is incomplete", hint=BROKEN_HINT)
    end = max(offset + count for offset, count in zip(offsets, counts))
    if end > size and not cut:
        raise BadInputError(f"{path} is truncated: it has {size} of at least {end} bytes", hint=BROKEN_HINT)


def _from_ycbcr(pixels: np.ndarray) -> np.ndarray:
    """Turn full-range YCbCr (ITU-R BT.601, as in JFIF) into RGB; uint8 (h, w, 3) both."""
    y, cb, cr = np.moveaxis(pixels.astype(np.float32), 2, 0)
    cb -= 128
    cr -= 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=2)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


class TiffSource(Source):
    """An opened TIFF; closing it drops the cache."""

    def __init__(self, file: FileIO, cache: TileCache, **fields) -> None:
        super().__init__(**fields)
        self.cache, self._file = cache, file

    def close(self) -> None:
        """Release the file and the decoded tiles."""
        self.cache.clear()
        self._file.close()


def open_tiff(path: Path, *, cut: bool = False) -> TiffSource:
    """Open a TIFF and find its largest image with its pyramid.

    Parameters
    ----------
    path
        The file.
    cut
        Open it even where tiles lie beyond its end; reading those fails.

    Raises
    ------
    UnknownTiffError
        If its directories cannot be read.
    BadInputError
        If the file is truncated or damaged, holds no 8-bit colour image, or a stack of images.
    """
    file = path.open("rb", buffering=0)
    try:
        with tifffile.TiffFile(path) as handle:
            cache = TileCache(CACHE_BYTES)
            levels = _levels(path, handle, partial(TiffLevel, path, file=file, cache=cache, cut=cut))
            mpp, origin = read_mpp(handle, levels[0].width)
            _forget_tables(handle)
    except BadInputError:
        file.close()
        raise
    except _UNREADABLE as error:
        file.close()
        raise UnknownTiffError(f"cannot read {path}: {error}", hint=BROKEN_HINT) from error
    return TiffSource(file, cache, levels=list(levels), mpp=mpp, mpp_origin=origin)


def _levels(path: Path, handle: tifffile.TiffFile, open_level: Callable[..., TiffLevel]) -> list[TiffLevel]:
    """Open the levels of the largest image, widest first."""
    series = max(handle.series, key=lambda one: int(np.prod(one.shape[-3:])))
    levels: list[TiffLevel] = []
    for one in series.levels:
        if len(one.pages) != 1 or one.pages[0] is None:
            raise BadInputError(
                f"{path} holds a stack of {len(one.pages)} images ({one.axes}), not one colour image",
                hint=RGB_HINT,
            )
        page = one.pages[0].aspage()
        if levels and (page.imagewidth >= levels[-1].width or page.imagelength >= levels[-1].height):
            continue
        levels.append(open_level(index=len(levels), page=page))
    return levels


def _forget_tables(handle: tifffile.TiffFile) -> None:
    """Drop what grows with the slide from the pages, which decoders and cycles keep alive."""
    for series in handle.series:
        for level in series.levels:
            for page in filter(None, level.pages):
                if isinstance(page, tifffile.TiffPage):
                    page.tags, page.dataoffsets, page.databytecounts = tifffile.TiffTags(), (), ()

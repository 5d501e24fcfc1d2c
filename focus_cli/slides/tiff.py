"""TIFF in its dialects: tiled, striped, pyramidal, BigTIFF, OME-TIFF, Aperio SVS.

A tile (or strip) is decoded only when a window touches it, and kept in a bounded cache.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import tifffile

from focus_cli.errors import BadInputError
from focus_cli.slides.cache import TileCache
from focus_cli.slides.level import MAX_PIECE_PIXELS, Source, on_white
from focus_cli.slides.plain import BROKEN_HINT, RGB_HINT, pyramid_hint
from focus_cli.slides.scale import read_mpp

CACHE_BYTES = 96 * 2**20
_APERIO_YCBCR = 33003
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


class TiffLevel:
    """One image file directory, read tile by tile."""

    def __init__(self, path: Path, index: int, page: tifffile.TiffPage, cache: TileCache) -> None:
        self.path, self.index, self._page, self._cache = path, index, page, cache
        self.width, self.height = int(page.imagewidth), int(page.imagelength)
        self._check()
        if page.is_tiled:
            self.tile_width, self.tile_height = int(page.tilewidth), int(page.tilelength)
        else:  # a strip is a tile as wide as the image
            self.tile_width, self.tile_height = self.width, min(int(page.rowsperstrip), self.height)
        self._across = math.ceil(self.width / self.tile_width)
        self._per_plane = self._across * math.ceil(self.height / self.tile_height)
        if self.tile_width * self.tile_height > MAX_PIECE_PIXELS:
            raise BadInputError(
                f"{path} has {self.width * self.height / 1e9:.1f} gigapixels in one piece",
                hint=pyramid_hint(path),
            )

    def _check(self) -> None:
        """Refuse what is not an 8-bit colour image, and a file that ends before its pixels do."""
        page, path = self._page, self.path
        photometric = int(page.photometric)
        if page.dtype != np.uint8:
            kind = f"{page.dtype} with {page.samplesperpixel} channel{'s' if page.samplesperpixel > 1 else ''}"
            raise BadInputError(f"{path} is not an H&E image: its pixels are {kind}", hint=RGB_HINT)
        if page.samplesperpixel not in (3, 4) or photometric not in (2, 6):
            raise BadInputError(
                f"{path} is not an H&E image: {page.samplesperpixel} channel(s), photometric {photometric}",
                hint=RGB_HINT,
            )
        size = self._page.parent.filehandle.size
        offsets, counts = page.dataoffsets, page.databytecounts
        if not offsets or len(offsets) != len(counts):
            raise BadInputError(f"{path} is damaged: its table of tiles is incomplete", hint=BROKEN_HINT)
        end = max(offset + count for offset, count in zip(offsets, counts))
        if end > size:
            raise BadInputError(f"{path} is truncated: it has {size} of at least {end} bytes", hint=BROKEN_HINT)

    def window(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """Return uint8 RGB (y1 - y0, x1 - x0, 3), decoding only the tiles that it touches."""
        out = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        for row in range(y0 // self.tile_height, (y1 - 1) // self.tile_height + 1):
            top = row * self.tile_height
            for column in range(x0 // self.tile_width, (x1 - 1) // self.tile_width + 1):
                left = column * self.tile_width
                tile = self._tile(row * self._across + column)
                ya, yb = max(y0, top), min(y1, top + self.tile_height)
                xa, xb = max(x0, left), min(x1, left + self.tile_width)
                out[ya - y0 : yb - y0, xa - x0 : xb - x0] = tile[ya - top : yb - top, xa - left : xb - left]
        return out

    def _tile(self, number: int) -> np.ndarray:
        return self._cache.get((self.index, number), lambda: self._decode(number))

    def _decode(self, number: int) -> np.ndarray:
        page = self._page
        try:
            if page.planarconfig == 2:
                planes = [self._segment(number + k * self._per_plane) for k in range(page.samplesperpixel)]
                pixels = np.concatenate(planes, axis=2)
            else:
                pixels = self._segment(number)
        except _UNREADABLE as error:
            raise BadInputError(f"cannot decode tile {number} of {self.path}: {error}", hint=BROKEN_HINT) from error
        if int(page.compression) == _APERIO_YCBCR:
            pixels = _from_ycbcr(pixels)
        if pixels.shape[2] == 3:
            return pixels
        kind = int(page.extrasamples[0]) if page.extrasamples else 0  # 1: associated, 2: unassociated
        return on_white(pixels, premultiplied=kind == 1) if kind else np.ascontiguousarray(pixels[..., :3])

    def _segment(self, number: int) -> np.ndarray:
        page = self._page
        handle = page.parent.filehandle
        count = page.databytecounts[number]
        if count == 0:  # sparse files leave out empty tiles
            samples = page.samplesperpixel if page.planarconfig == 1 else 1
            return np.full((self.tile_height, self.tile_width, samples), 255, np.uint8)
        handle.seek(page.dataoffsets[number])
        data = handle.read(count)
        tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}
        pixels, _, _ = page.decode(data, number, **tables)
        return pixels[0]


def _from_ycbcr(pixels: np.ndarray) -> np.ndarray:
    """Turn full-range YCbCr (ITU-R BT.601, as in JFIF) into RGB; uint8 (h, w, 3) both."""
    y, cb, cr = np.moveaxis(pixels.astype(np.float32), 2, 0)
    cb -= 128
    cr -= 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=2)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


class TiffSource(Source):
    """An opened TIFF; closing it drops the cache."""

    def __init__(self, handle: tifffile.TiffFile, cache: TileCache, **fields) -> None:
        super().__init__(**fields)
        self.cache, self._handle = cache, handle

    def close(self) -> None:
        """Release the file and the decoded tiles."""
        self.cache.clear()
        self._handle.close()


def open_tiff(path: Path) -> TiffSource:
    """Open a TIFF and find its largest image with its pyramid.

    Raises
    ------
    BadInputError
        If the file is truncated or damaged, holds no 8-bit colour image, or a stack of images.
    """
    try:
        handle = tifffile.TiffFile(path)
    except _UNREADABLE as error:
        raise BadInputError(f"cannot read {path}: {error}", hint=BROKEN_HINT) from error
    try:
        series = max(handle.series, key=lambda one: int(np.prod(one.shape[-3:])))
        cache = TileCache(CACHE_BYTES)
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
            levels.append(TiffLevel(path, len(levels), page, cache))
        mpp, origin = read_mpp(handle, levels[0].width)
    except BadInputError:
        handle.close()
        raise
    except _UNREADABLE as error:
        handle.close()
        raise BadInputError(f"cannot read {path}: {error}", hint=BROKEN_HINT) from error
    return TiffSource(handle, cache, levels=list(levels), mpp=mpp, mpp_origin=origin)

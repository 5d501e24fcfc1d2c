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

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.tiff_file import open_tiff_file
from focus_cli.histology.slides.cache import TileCache
from focus_cli.histology.slides.level import (
    BROKEN_HINT,
    RGB_HINT,
    WHITE,
    Source,
    is_reduced,
    on_white,
    orientation_notes,
)
from focus_cli.histology.slides.planes import Channels, conversion_hint, looks_coloured, other_stains, rgb_order
from focus_cli.histology.slides.scale import tiff_scale
from focus_cli.histology.slides.tiff_channels import channels_of
from focus_cli.histology.slides.tiff_pictures import largest_series, require_one_picture
from focus_cli.histology.slides.tiled import TiledLevel

CACHE_BYTES = 96 * 2**20
_APERIO_YCBCR = 33003
_JPEG = 7
_ORIENTATION = 274
_GREY, _RGB, _YCBCR = 1, 2, 6
_PHOTOMETRICS = {0: "grey, white is zero", 1: "grey", 2: "RGB", 3: "a palette", 4: "a mask", 5: "CMYK", 8: "CIE L*a*b*"}
_END_OF_JPEG = b"\xff\xd9"


class UnknownTiffError(BadInputError):
    """A TIFF whose structure we cannot make sense of; another reader may."""


class TiffLevel(TiledLevel):
    """One image file directory, read tile by tile; `plane` is the number of a grey plane of a `ComposedLevel`."""

    def __init__(
        self,
        path: Path,
        index: int,
        page: tifffile.TiffPage,
        file: FileIO,
        cache: TileCache,
        *,
        cut: bool,
        plane: int | None = None,
    ) -> None:
        width, height = int(page.imagewidth), int(page.imagelength)
        self._size = os.fstat(file.fileno()).st_size
        _check(path, page, self._size, cut, plane)
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
        if pixels.shape[2] in (1, 3):  # 1: a plane of a `ComposedLevel`
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


class ComposedLevel(TiledLevel):
    """Three directories of one channel each, which are the red, green and blue of one picture."""

    def __init__(self, path: Path, index: int, planes: list[TiffLevel], cache: TileCache) -> None:
        first = planes[0]
        if any((one.width, one.height, one.n_tiles) != (first.width, first.height, first.n_tiles) for one in planes):
            raise BadInputError(f"{path} holds planes of different sizes, not one colour image", hint=RGB_HINT)
        super().__init__(path, index, (first.width, first.height), (first.tile_width, first.tile_height), cache)
        self._planes = planes

    def _decode(self, number: int) -> np.ndarray:
        return np.concatenate([plane._decode(number) for plane in self._planes], axis=2)


class _Refusing:
    """Turn what decoders raise inside a block into `BadInputError`."""

    def __init__(self, level: TiffLevel, number: int) -> None:
        self._level, self._number = level, number

    def __enter__(self) -> None: ...

    def __exit__(self, _, error: BaseException | None, __) -> None:
        if isinstance(error, Exception):
            message = f"cannot decode tile {self._number} of {self._level.path}: {error}"
            raise BadInputError(message, hint=BROKEN_HINT) from error


def _jpeg_colours(page: tifffile.TiffPage) -> dict[str, int | None] | None:
    """Return how the tiles' JPEG encodes its colours, or None where they are no plain three-channel JPEG.

    A JPEG without JFIF mark in a TIFF that states RGB holds RGB (Aperio), whatever its decoder would guess.
    """
    plain = int(page.compression) == _JPEG and page.planarconfig == 1 and page.samplesperpixel == 3
    if not plain or not page.is_tiled or page.jpegheader is not None or page.extrasamples:
        return None
    raw = int(page.photometric) == _RGB and not page.is_jfif
    return {"colorspace": _RGB if raw else None, "outcolorspace": _RGB}


def _check(path: Path, page: tifffile.TiffPage, size: int, cut: bool, plane: int | None) -> None:
    """Refuse what is not an 8-bit colour image, and a file that ends before its pixels do (unless `cut`)."""
    photometric = int(page.photometric)
    if page.dtype != np.uint8:
        kind = f"{page.dtype} with {page.samplesperpixel} channel{'s' if page.samplesperpixel > 1 else ''}"
        raise BadInputError(f"{path} is not an H&E image: its pixels are {kind}", hint=RGB_HINT)
    colour = page.samplesperpixel in (3, 4) and photometric in (_RGB, _YCBCR)
    grey = photometric == _GREY and page.samplesperpixel == (3 if plane is None else 1)
    if not (colour and plane is None) and not grey:
        kind = _PHOTOMETRICS.get(photometric, f"photometric {photometric}")
        raise BadInputError(f"{path} is not an H&E image: {page.samplesperpixel} channel(s), {kind}", hint=RGB_HINT)
    if page.imagewidth < 1 or page.imagelength < 1:
        raise BadInputError(f"{path} has no pixels: {page.imagewidth} × {page.imagelength}", hint=BROKEN_HINT)
    offsets, counts = page.dataoffsets, page.databytecounts
    if not offsets or len(offsets) != len(counts) or len(offsets) < _n_segments(page):
        raise BadInputError(f"{path} is damaged: its table of tiles is incomplete", hint=BROKEN_HINT)
    end = max(offset + count for offset, count in zip(offsets, counts))
    if end > size and not cut:
        raise BadInputError(f"{path} is truncated: it has {size} of at least {end} bytes", hint=BROKEN_HINT)


def _n_segments(page: tifffile.TiffPage) -> int:
    """Tiles or strips that a directory must list."""
    width, height = int(page.imagewidth), int(page.imagelength)
    if page.is_tiled:
        across, down = int(page.tilewidth), int(page.tilelength)
    else:
        across, down = width, min(int(page.rowsperstrip), height)
    if across < 1 or down < 1:
        raise ValueError(f"tiles of {across} × {down} px")
    planes = int(page.samplesperpixel) if int(page.planarconfig) == 2 else 1
    return -(-width // across) * -(-height // down) * planes


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
        with open_tiff_file(path) as handle:
            cache = TileCache(CACHE_BYTES)
            levels, notes = read_levels(path, handle, partial(TiffLevel, path, file=file, cache=cache, cut=cut), cache)
            scale = tiff_scale(handle, levels[0].width)
            _forget_tables(handle)
    except BadInputError:
        file.close()
        raise
    except Exception as error:  # of a damaged file tifffile raises whatever it likes
        file.close()
        raise UnknownTiffError(f"cannot read {path}: {error}", hint=BROKEN_HINT) from error
    return TiffSource(file, cache, levels=list(levels), scale=scale, notes=notes)


def read_levels(
    path: Path, handle: tifffile.TiffFile, open_level: Callable[..., TiffLevel], cache: TileCache
) -> tuple[list[TiledLevel], list[str]]:
    """Open the levels of the largest image, widest first; also what was assumed of it."""
    series = largest_series(handle)
    require_one_picture(path, handle, series)
    levels: list[TiledLevel] = []
    planes = [] if len(series.levels[0].pages) > 1 else _lone_planes(handle, series)
    for one in series.levels:
        pages = [page.aspage() for page in planes or one.pages if page is not None]
        if not pages:
            raise ValueError("an image without a directory")
        if len(pages) not in (1, 3) or (len(pages) == 3 and pages[0].samplesperpixel != 1):
            raise BadInputError(
                f"{path} holds a stack of {len(one.pages)} images ({one.axes}), not one colour image", hint=RGB_HINT
            )
        if levels and not is_reduced(levels[-1], levels[0], int(pages[0].imagewidth), int(pages[0].imagelength)):
            continue
        if len(pages) == 1:
            levels.append(open_level(index=len(levels), page=pages[0]))
            continue
        index = len(levels)
        opened = [open_level(index=(index, i), page=page, plane=i) for i, page in enumerate(pages)]
        order = rgb_order(channels_of(handle, pages)) or (0, 1, 2)
        levels.append(ComposedLevel(path, index, [opened[i] for i in order], cache))
    notes = orientation_notes(path, series.keyframe.tags.valueof(_ORIENTATION))
    return levels, notes + grey_planes_note(path, handle, series, levels)


def _lone_planes(handle: tifffile.TiffFile, series) -> list:
    """The three grey directories of one size that a file holds beside each other, or nothing."""
    page = series.pages[0]
    if page is None or page.aspage().samplesperpixel != 1:
        return []
    same = [other.pages[0] for other in handle.series if other.shape == series.shape and len(other.pages) == 1]
    return same if len(same) == 3 else []


def grey_planes_note(path: Path, handle: tifffile.TiffFile, series, levels: list[TiledLevel]) -> list[str]:
    """State that grey planes are taken for red, green and blue.

    Raises
    ------
    BadInputError
        If they are not.
    """
    composed = isinstance(levels[0], ComposedLevel)
    pages = [page.aspage() for page in series.levels[0].pages if page is not None]
    if not composed and int(pages[0].photometric) != _GREY:
        return []
    what = "three grey planes" if composed else "three grey channels"
    channels = channels_of(handle, pages) if composed else Channels()
    if stains := other_stains(channels):
        raise BadInputError(
            f"{path} is not an H&E image: its {what} are {stains}", hint="give the H&E, not fluorescence"
        )
    if rgb_order(channels) is not None:
        return [f"the {what} of {path.name} are named red, green and blue: they are read as one colour image"]
    if reason := looks_coloured(levels):
        raise BadInputError(
            f"{path} holds a stack of {what}, which are not the red, green and blue of an H&E: {reason}",
            hint=conversion_hint(path.name, composed or int(pages[0].planarconfig) == 2),
        )
    return [f"the {what} of {path.name} are taken for red, green and blue: together they look like an H&E (a guess)"]


def _forget_tables(handle: tifffile.TiffFile) -> None:
    """Drop what grows with the slide from the pages, which decoders and cycles keep alive."""
    for series in handle.series:
        for level in series.levels:
            for page in filter(None, level.pages):
                if isinstance(page, tifffile.TiffPage):
                    page.tags, page.dataoffsets, page.databytecounts = tifffile.TiffTags(), (), ()

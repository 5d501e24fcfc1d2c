"""Which reader opens which image."""

from __future__ import annotations

import math
import os
import shlex
from pathlib import Path

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage.regular import require_regular
from focus_cli.histology.slides.decoded import open_plain
from focus_cli.histology.slides.level import BROKEN_HINT, Source
from focus_cli.histology.slides.omezarr import is_zarr, open_omezarr
from focus_cli.histology.slides.scale import require_square
from focus_cli.histology.slides.slide import Slide
from focus_cli.histology.slides.tiff import UnknownTiffError, open_tiff
from focus_cli.histology.slides.vendor import VENDOR_SUFFIXES, has_openslide, open_vendor

MAX_SIDE = 4_000_000  # px; a slide of 1 m at 0.25 µm
_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip -k"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"BZh": ("bzip2", "bunzip2 -k"),
    b"\xfd7zXZ": ("xz", "unxz -k"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"7z\xbc\xaf": ("7z", "7z x"),
}
_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def open_slide(path: str | Path, mpp: float | None = None, *, cut: bool = False, max_damaged: float = 0.0) -> Slide:
    """Open an H&E image.

    Tiled and striped TIFF, pyramidal TIFF, BigTIFF, OME-TIFF, Aperio SVS and OME-Zarr (a folder) are read
    tile by tile; vendors' formats (NDPI, MRXS, SCN, BIF, …) through openslide, an extra; JPEG and PNG (up to
    1 gigapixel) are decoded at the first read and kept.

    Parameters
    ----------
    path
        The image.
    mpp
        µm per level-0 pixel. Given, it is used; else the file's own (OME-XML, Aperio description, ImageJ's unit,
        then resolution tags where they state 0.05–20 µm; a vendor's properties; the scale of an OME-Zarr that
        names its unit), the mean of x and y; else it stays unknown.
    cut
        Open a TIFF even where its tail is missing, as after an interrupted copy: tiles beyond its end count
        as damaged. By default such a file is refused, since copying it again costs less than finding out
        later what was lost.
    max_damaged
        Share of the tiles that may be damaged where the slide is read at a scale; see `Slide`.

    Raises
    ------
    MissingResourceError
        If there is no such file, or openslide is needed and not installed.
    BadInputError
        If it is truncated, damaged, not an 8-bit colour image, or too large to decode in one piece; also if the
        file's µm per pixel differ by more than 3 % between x and y and no `mpp` is given.
    UsageError
        If `mpp` is not positive.
    """
    path = Path(path)
    if mpp is not None and not (math.isfinite(mpp) and mpp > 0):
        raise UsageError(f"µm per pixel must be positive, not {mpp}")
    source = _open_source(path, cut)
    try:
        _check_size(path, source)
        if mpp is None:
            require_square(path, source.scale)
    except BadInputError:
        source.close()
        raise
    return Slide(path, source, mpp, max_damaged)


def _check_size(path: Path, source: Source) -> None:
    width, height = source.levels[0].width, source.levels[0].height
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise BadInputError(f"{path} is no slide: it has {width:,} × {height:,} px", hint=BROKEN_HINT)


def _open_source(path: Path, cut: bool) -> Source:
    if os.path.isdir(path):  # never raises, where `Path.is_dir` may
        if is_zarr(path):
            return open_omezarr(path)
        raise BadInputError(f"{path} is not an image file", hint="give the H&E image itself")
    if not os.path.lexists(path):
        raise MissingResourceError(f"no such image: {path}", hint="check the path")
    require_regular(path)
    with path.open("rb") as handle:
        magic = handle.read(6)
    if not magic:
        raise BadInputError(f"{path} is empty", hint="copy the file again")
    for start, (name, tool) in _PACKED.items():
        if magic.startswith(start):
            raise BadInputError(
                f"{path} is packed ({name}), not an image", hint=f"unpack it first: {tool} {shlex.quote(path.name)}"
            )
    if path.suffix.lower() in VENDOR_SUFFIXES:
        return open_vendor(path)
    if magic[:4] not in _TIFF_MAGIC:
        return open_plain(path)
    try:
        return open_tiff(path, cut=cut)
    except UnknownTiffError:
        # Scanners bend TIFF in ways that openslide may know.
        if not has_openslide(path):
            raise
        return open_vendor(path)

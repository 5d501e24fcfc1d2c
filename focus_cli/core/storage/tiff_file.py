"""Opening TIFF: tifffile without its log on standard error, on files whose directories end.

tifffile follows a chain of directories as long as it leads on: two that follow each other fill the memory.
"""

from __future__ import annotations

import logging
import os
import struct
from pathlib import Path

import tifffile

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.regular import require_regular

# A logger with a handler does not fall back to standard error; handlers that a program sets up still get everything.
# What is wrong with a file is stated by the refusal of the file.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

MAX_DIRECTORIES = 100_000
_MAX_TAGS = 4096  # as tifffile


def open_tiff_file(path: Path) -> tifffile.TiffFile:
    """Open a TIFF with tifffile.

    Raises
    ------
    MissingResourceError, BadInputError
        As `require_regular`; BadInputError as well if its directories follow each other in a circle or have no end.
    """
    require_regular(path)
    with open(path, "rb", buffering=0) as file:
        circle = _circle(file.fileno(), os.fstat(file.fileno()).st_size)
    if circle:
        raise BadInputError(f"{path} is damaged: {circle}", hint="copy the file again; it is incomplete or damaged")
    return tifffile.TiffFile(path)


def _circle(file: int, size: int) -> str:
    """What is wrong with the chain of directories, "" where it ends."""
    head = os.pread(file, 16, 0)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        return ""
    big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
    count, link, tag_bytes = ("Q", "Q", 20) if big else ("H", "I", 12)
    at = struct.unpack_from(order + link, head, 8 if big else 4)[0]
    seen: set[int] = set()
    while 0 < at < size:
        if at in seen:
            return "its directories follow each other in a circle"
        if len(seen) == MAX_DIRECTORIES:
            return f"it has more than {MAX_DIRECTORIES:,} directories"
        seen.add(at)
        width = struct.calcsize(count)
        number = os.pread(file, width, at)
        if len(number) < width or (tags := struct.unpack(order + count, number)[0]) > _MAX_TAGS:
            return ""
        following = os.pread(file, struct.calcsize(link), at + width + tags * tag_bytes)
        if len(following) < struct.calcsize(link):
            return ""
        at = struct.unpack(order + link, following)[0]
    return ""

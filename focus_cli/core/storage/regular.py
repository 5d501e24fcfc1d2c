"""Opening files whose content is not trusted: regular files only, and a bounded number of bytes of them.

A named pipe blocks for ever, a device never ends, and a few kilobytes of gzip unpack into terabytes.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError

LIMIT = 64 << 20  # bytes of a description
# DEFLATE packs at most 1,032 to 1. Tables of counts reach 20, long runs of equal lines somewhat more.
_UNPACKED_FREELY = 1 << 29
_MAX_RATIO = 100
_GZIP = b"\x1f\x8b"

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def require_regular(path: Path) -> Path:
    """Return `path` if it is a regular file that can be read.

    Raises
    ------
    MissingResourceError
        If nothing is there, a link leads nowhere or in a circle, or there is no permission.
    BadInputError
        If it is a folder, a named pipe, a device or a socket.
    """
    path = Path(path)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise _unreachable(path, error) from error
    if stat.S_ISDIR(mode):
        raise BadInputError(f"{path} is a folder, and a file is expected", hint="check the path")
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "a special file")
        raise BadInputError(f"{path} is {kind}, and a regular file is expected", hint="write it into a file first")
    if not os.access(path, os.R_OK):
        raise MissingResourceError(f"{path} cannot be read: no permission", hint="check who owns it")
    return path


def _unreachable(path: Path, error: OSError | ValueError) -> FocusError:
    """The refusal of a path that leads to no file."""
    number = getattr(error, "errno", None)
    if number == errno.ELOOP:
        return MissingResourceError(f"{path} is a symbolic link that leads to itself", hint="make the link again")
    if number in (errno.EACCES, errno.EPERM):
        return MissingResourceError(f"{path} cannot be read: no permission", hint="check who owns it")
    if number == errno.ENAMETOOLONG:
        return MissingResourceError(f"no such file: {str(path)[:120]}…: the name is too long", hint="check the path")
    if isinstance(error, ValueError):  # a NUL character
        return BadInputError(f"{path} is no path of a file", hint="check the path")
    if os.path.islink(path):
        return MissingResourceError(f"{path} is a symbolic link to a file that is not there", hint="check the link")
    return MissingResourceError(f"no such file: {path}", hint="check the path")


def require_folder(path: Path) -> Path:
    """Return `path` if it is a folder that can be listed.

    Raises
    ------
    MissingResourceError
        If nothing is there, a link leads nowhere or in a circle, or there is no permission.
    BadInputError
        If it is something else.
    """
    path = Path(path)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise _unreachable(path, error) from error
    if not stat.S_ISDIR(mode):
        raise BadInputError(f"{path} is no folder", hint="check the path")
    if not os.access(path, os.R_OK | os.X_OK):
        raise MissingResourceError(f"{path} cannot be read: no permission", hint="check who owns it")
    return path


def read_bounded(path: Path, limit: int = LIMIT) -> bytes:
    """The bytes of a regular file of at most `limit` bytes.

    Raises
    ------
    MissingResourceError, BadInputError
        As `require_regular`; BadInputError as well where the file is larger or cannot be read to its end.
    """
    path = require_regular(path)
    try:
        with open(path, "rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {os.strerror(error.errno or errno.EIO)}") from error
    if len(content) > limit:
        raise BadInputError(f"{path} is larger than {_size(limit)}", hint="is it the right file?")
    return content


def read_text_bounded(path: Path, limit: int = LIMIT) -> str:
    """The text of a regular file of at most `limit` bytes, UTF-8 with or without a byte order mark.

    Raises
    ------
    MissingResourceError, BadInputError
        As `read_bounded`; BadInputError as well where it is no text.
    """
    try:
        return read_bounded(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} is not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from error


@contextmanager
def open_maybe_gzip(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, decompressed if its first bytes are those of gzip, whatever its name.

    Raises
    ------
    MissingResourceError, BadInputError
        As `require_regular`; BadInputError while reading where the file unpacks to far more than tables do.
    """
    path = require_regular(path)
    with open(path, "rb") as stream:
        packed = stream.read(2) == _GZIP
        stream.seek(0)
        if not packed:
            yield stream
            return
        with gzip.open(stream) as unpacked:
            yield io.BufferedReader(BoundedStream(cast(IO[bytes], unpacked), path), 1 << 16)


class BoundedStream(io.RawIOBase):
    """What `unpacked` gives, up to a size that a file packed in good faith does not exceed.

    Parameters
    ----------
    unpacked
        The decompressing stream.
    path
        The packed file.
    """

    def __init__(self, unpacked: IO[bytes], path: Path) -> None:
        self._unpacked, self._path = unpacked, path
        self._limit = max(_UNPACKED_FREELY, _MAX_RATIO * os.stat(path).st_size)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always: going back unpacks again from the start."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As `io.IOBase.seek`, within the limit."""
        start = self._unpacked.tell() if whence == os.SEEK_CUR else 0
        self._check(start + offset)
        return self._unpacked.seek(offset, whence)

    def tell(self) -> int:
        """Number of the next byte."""
        return self._unpacked.tell()

    def readinto(self, target) -> int:
        """Fill `target`; return the number of bytes, 0 at the end."""
        got = self._unpacked.read(len(target))
        target[: len(got)] = got
        self._check(self._unpacked.tell())
        return len(got)

    def _check(self, place: int) -> None:
        if place > self._limit:
            raise BadInputError(
                f"{self._path} unpacks to more than {_size(self._limit)}, which no table does",
                hint="unpack it yourself if that is right",
            )


def _size(n_bytes: int) -> str:
    return f"{n_bytes >> 20:,} MiB" if n_bytes >= 1 << 20 else f"{n_bytes:,} bytes"

"""Text tables as laboratories save them, opened as plain ones: UTF-8, a line for each row, the header first.

What programs add around a table is left out where it can mean nothing else: comments, blank lines, a separator at the
end of every line, the line ``sep=;`` of spreadsheets. A table that needs this is held in memory, up to
`_RECODED_BYTES`.
"""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import print_message
from focus_cli.core.storage.regular import require_regular
from focus_cli.platforms.formats.opening import open_table

SEPARATORS = "\t,;"
_BLOCK = 1 << 20
_RECODED_BYTES = 1 << 28
_HEAD = 1 << 16  # bytes in which the first lines are looked for
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# A comment, or a row without any value. It begins with one plain byte, for which the search is seven times as fast.
_SET_APART = re.compile(rb"\n(?:#|[,;\t]+[\r\n])")
_STATED_SEPARATOR = re.compile(r"\"?sep=.\"?\s*", re.IGNORECASE)
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
_MOST_FOREIGN = 0.3  # of the characters of a table in an encoding of one byte
_ENCODING = "save it as UTF-8"


def separator(line: str) -> str:
    """Whichever of tab, comma and semicolon a line has most, a blank without them: a name may hold a blank."""
    found = max(SEPARATORS, key=line.count)
    return found if found in line else " "


@contextmanager
def open_text(path: Path) -> Iterator[IO[bytes]]:
    """Open a text table as UTF-8 with lines that end in a line feed, its header first.

    Raises
    ------
    BadInputError
        If it is neither UTF-8, UTF-16 nor plausible in Windows-1252, or too large to be converted.
    """
    path = require_regular(path)
    state = os.stat(path)
    needs = _needs(path, state.st_size, state.st_mtime_ns, state.st_ino)
    with open_table(path) as stream:
        if needs is None:
            yield stream
            return
        content = stream.read(_RECODED_BYTES + 1)
    if len(content) > _RECODED_BYTES:
        raise BadInputError(
            f"{path}: {needs.reason}, and it is too large to be converted",
            hint="save it as UTF-8, its header first, with a line feed at the end of every line",
        )
    text = content.decode(needs.encoding, errors="strict")
    yield io.BytesIO("\n".join(_plain_lines(text)).encode())


@dataclass(frozen=True)
class _Needs:
    """What must be done to a table: its encoding, and why it is no plain one."""

    encoding: str
    reason: str


@lru_cache(maxsize=256)
def _needs(path: Path, size: int, changed: int, inode: int) -> _Needs | None:
    """Look through a table; None if it is plain. The last three arguments identify the file."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    reason, perhaps, before, n = "", False, b"\n", 0
    with open_table(path) as stream:
        while n < _RECODED_BYTES and (block := stream.read(_BLOCK)):
            if n == 0:
                if block.startswith(_WIDE):
                    return _Needs("utf-16", "it is UTF-16 text")
                if b"\x00" in block[:_HEAD]:
                    return None  # no text: the reader reports it
                reason = _of_first_lines(block[:_HEAD])
                perhaps = _may_end_in_separators(block[:_HEAD])
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return _other_encoding(path)
            perhaps = perhaps or _SET_APART.search(before[-1:] + block) is not None
            before, n = block, n + len(block)
        if perhaps and not reason and not stream.read(1):  # a larger table is left to the reader
            reason = "it has comments or separators that belong to no row"
    return _Needs("utf-8-sig", reason) if reason else None


def _first_lines(head: bytes) -> list[str]:
    text = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    return [line.rstrip("\r") for line in text.split("\n", 2)[:2]]


def _of_first_lines(head: bytes) -> str:
    """Why a table is no plain one, as its first lines show; "" if they do not."""
    if b"\r" in head and b"\n" not in head:
        return "its lines end in a carriage return alone"
    first = _first_lines(head)[0]
    if not first.strip(f" {SEPARATORS}"):
        return "its first line is blank"
    if first.startswith("#") or _STATED_SEPARATOR.fullmatch(first):
        return "a comment is before its header"
    return ""


def _may_end_in_separators(head: bytes) -> bool:
    """Whether one of the first two lines ends in a separator, or the second holds a name in single quotes."""
    lines = _first_lines(head)
    return any(line.endswith(tuple(SEPARATORS)) for line in lines) or _is_quoted(lines[-1], separator(lines[0]))


def _other_encoding(path: Path) -> _Needs:
    """Windows-1252, if that makes text of a table that is no UTF-8; the guess is stated.

    Raises
    ------
    BadInputError
        If it does not, or parts of the table are UTF-8.
    """
    with open_table(path) as stream:
        content = stream.read(_RECODED_BYTES + 1)
    at = _first_wrong(content)
    line = content.count(b"\n", 0, at) + 1
    message = f"{path} is not UTF-8 text (byte 0x{content[at]:02x} in line {line})"
    if not content[:at].removeprefix(codecs.BOM_UTF8).isascii() or len(content) > _RECODED_BYTES:
        raise BadInputError(message, hint=_ENCODING)
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise BadInputError(message, hint=_ENCODING) from error
    foreign = sum(not c.isascii() for c in text[at:])
    if _NO_TEXT.search(text) or foreign > max(10, _MOST_FOREIGN * len(text)):
        raise BadInputError(message, hint=_ENCODING)
    print_message(f"{path.name} is not UTF-8: read as Windows-1252, in which line {line} holds {text[at]!r}")
    return _Needs("cp1252", "it is not UTF-8")


def _first_wrong(content: bytes) -> int:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return len(content) - 1  # a character is cut off at the end


def _plain_lines(text: str) -> list[str]:
    """The lines of a table, its header first, without what is not of the table."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start, comments = 0, []
    while start < len(lines) and _is_beside(lines[start]):
        if lines[start].startswith("#"):
            comments.append(lines[start])
        start += 1
    lines = lines[start:]
    if not lines:
        return lines
    sep = separator(lines[0])
    if comments and _is_header(comments[-1], lines[0], sep):
        lines.insert(0, comments[-1].lstrip("#").lstrip(" "))
    width = lines[0].count(sep)
    lines = [
        line
        for line in lines
        if line.strip(f" {SEPARATORS}") and not (line.startswith("#") and line.count(sep) < min(width, 1))
    ]
    return _double_quoted(_without_last(lines, sep), sep)


def _is_beside(line: str) -> bool:
    return not line.strip(f" {SEPARATORS}") or line.startswith("#") or bool(_STATED_SEPARATOR.fullmatch(line))


def _is_header(comment: str, row: str, sep: str) -> bool:
    """Whether a comment names the columns of the row after it: as many words, of which none is a number."""
    names, values = comment.lstrip("#").split(sep), row.split(sep)
    return len(names) == len(values) > 1 and not any(map(_is_number, names)) and any(map(_is_number, values[1:]))


def _is_number(word: str) -> bool:
    try:
        float(word.strip().strip("\"'").replace(",", "."))
    except ValueError:
        return False
    return True


def _without_last(lines: list[str], sep: str) -> list[str]:
    """Drop the separator at the end of every line, or of every line but the header: its column has no name or value."""
    ends = [line.endswith(sep) for line in lines]
    if len(lines) < 2 or not all(ends[1:]):
        longer = len(lines) > 1 and ends[0] and not any(ends[1:]) and lines[0].count(sep) == lines[1].count(sep) + 1
        return [lines[0][: -len(sep)], *lines[1:]] if longer else lines
    if ends[0]:
        return [line[: -len(sep)] for line in lines]
    if lines[1].count(sep) == lines[0].count(sep) + 1:
        return [lines[0], *(line[: -len(sep)] for line in lines[1:])]
    return lines


def _is_quoted(line: str, sep: str) -> bool:
    """Whether the first value of a line stands in single quotes."""
    return line.startswith("'") and (f"'{sep}" in line[1:])


def _double_quoted(lines: list[str], sep: str) -> list[str]:
    """Single quotes around names as double ones, where they stand in pairs and there are no others."""
    if len(lines) < 2 or not _is_quoted(lines[1], sep):
        return lines
    if any('"' in line or line.count("'") % 2 for line in lines):
        return lines
    return [line.replace("'", '"') for line in lines]

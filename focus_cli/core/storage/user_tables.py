"""Small tables that the user writes: a header, a row a line, as editors and spreadsheet programs save them."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.regular import read_text_bounded

SEPARATORS = "\t,;"
_STATED_SEPARATOR = re.compile(r"\"?sep=(.)\"?", re.IGNORECASE)


@dataclass(frozen=True)
class UserTable:
    """A table as text.

    Attributes
    ----------
    header
        Names of columns.
    header_line
        Where they stand in the file, from 1.
    rows
        Number of each line in the file, and its cells without blanks around them; blank lines are left out.
    """

    header: list[str]
    header_line: int
    rows: list[tuple[int, list[str]]]


def read_user_table(path: Path, columns: Sequence[str]) -> UserTable:
    """Read a table: a byte order mark, CRLF, quotes, comments (``#``), blank lines and empty last columns are borne.

    Parameters
    ----------
    path
        Text separated by tabs, commas or semicolons: whichever divides the header so that it has most of `columns`,
        else whichever it has most.
    columns
        Names that are expected in the header.

    Returns
    -------
    UserTable
        Its header is empty where the file holds no line.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is no UTF-8 text, or a quote is not closed on its line.
    """
    text = read_text_bounded(path).replace("\r\n", "\n").replace("\r", "\n")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if not _is_blank(line)]
    stated = _STATED_SEPARATOR.fullmatch(lines[0][1].strip()) if lines else None
    if stated is not None:  # as Excel writes it
        lines = lines[1:]
    comments = [line for line in lines if line[1].lstrip().startswith("#")]
    lines = [line for line in lines if not line[1].lstrip().startswith("#")]
    first = _header_among(comments, lines, columns)
    if first is not None:
        lines.insert(0, first)
    if not lines:
        return UserTable([], 1, [])
    separator = _separator(lines[0][1], columns)
    cells = [(number, _cells(line, separator, number, path)) for number, line in lines]
    (header_line, header), rows = cells[0], cells[1:]
    width = len(header)
    while width > 1 and not header[width - 1] and not any(any(row[width - 1 :]) for _, row in rows):
        width -= 1  # a column without a name or a value
    rows = [(number, row[:width] if not any(row[width:]) else row) for number, row in rows]
    return UserTable(header[:width], header_line, rows)


def _is_blank(line: str) -> bool:
    return not line.strip(f" {SEPARATORS}")


def _header_among(
    comments: list[tuple[int, str]], lines: list[tuple[int, str]], columns: Sequence[str]
) -> tuple[int, str] | None:
    """The last comment before the rows, if it names columns and the first row does not."""
    before = [line for line in comments if not lines or line[0] < lines[0][0]]
    if not before or (lines and _known(lines[0][1], columns)):
        return None
    number, line = before[-1]
    line = line.lstrip("# ")
    return (number, line) if _known(line, columns) > 1 else None


def _known(line: str, columns: Sequence[str]) -> int:
    """How many of the columns a line names, divided by the best separator."""
    return max(len(_words(line, separator) & set(columns)) for separator in SEPARATORS)


def _words(line: str, separator: str) -> set[str]:
    return {word.strip().strip('"') for word in line.split(separator)}


def _separator(header: str, columns: Sequence[str]) -> str:
    return max(
        SEPARATORS, key=lambda separator: (len(_words(header, separator) & set(columns)), header.count(separator))
    )


def _cells(line: str, separator: str, number: int, path: Path) -> list[str]:
    try:
        found = next(csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise BadInputError(
            f"{path}, line {number}: a quotation mark is not closed, or stands within a cell",
            hint="quote a whole cell, and write a mark within it twice",
        ) from error
    return [cell.strip() for cell in found]

"""Locations that are named by their place on an array, ``12x34``: legacy ST, DBiT-seq and others do so.

Such names state where a location lies, not what made it: alone they are a weak sign of a platform.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.formats.opening import DAMAGE
from focus_cli.platforms.formats.plain_text import open_text, separator

TABLE_ENDINGS = (".tsv", ".csv", ".txt", ".tsv.gz", ".csv.gz", ".txt.gz", ".zip")
_PLACE = re.compile(r"\s*X?(\d{1,6}(?:\.\d{1,20})?)x(\d{1,6}(?:\.\d{1,20})?)\s*")
_LINE = 1 << 24  # bytes of a line that is looked at
_ROWS = 20
_HEAD = 1 << 16


@dataclass(frozen=True)
class TableHead:
    """The names at the edges of a text table: those of its columns, and of its first rows."""

    columns: list[str]
    rows: list[str]

    @property
    def places(self) -> list[str]:
        """The names that are places on an array: those of the rows, else those of the columns, else none."""
        return next((names for names in (self.rows, self.columns[1:]) if all_places(names)), [])


def peek_table(path: Path) -> TableHead | None:
    """The edges of a text table, gzipped or zipped or not; None where it is no text or damaged.

    Raises
    ------
    UsageError
        If it is an archive of several files.
    """
    try:
        with open_text(path) as stream:
            header = stream.readline(_LINE)
            if b"\x00" in header:
                return None
            text = header.decode("utf-8-sig").rstrip("\r\n")
            sep = separator(text)
            columns = [name.strip() for name in next(csv.reader([text], delimiter=sep), [])]
            rows = []
            for _ in range(_ROWS):
                line = stream.readline(_LINE)
                if not line:
                    break
                first = line[:_HEAD].decode("utf-8", "replace").split(sep, 1)[0].strip("\"' \r\n")
                if first:
                    rows.append(first)
    except (*DAMAGE, csv.Error, BadInputError):
        return None
    return TableHead(columns, rows)


def counts_by_place(head: TableHead) -> bool:
    """Whether a table has locations named by places, and values that are no places themselves."""
    named = {column.lower() for column in head.columns}
    return bool(head.rows and head.places) and len(head.columns) > 1 and not {"x", "y"} <= named


def place(name: str) -> tuple[float, float] | None:
    """Column and row that a name like ``12x34`` (R writes ``X12x34``) or ``13.064x6.086`` stands for, else None."""
    match = _PLACE.fullmatch(name)
    return (float(match[1]), float(match[2])) if match else None


def all_places(names: Sequence[str]) -> bool:
    """Whether there are names, and each is a place on an array."""
    return bool(names) and all(_PLACE.fullmatch(name) for name in names)


def places(names: Sequence[str]) -> np.ndarray | None:
    """float64 (n, 2), column and row of every name; None where a name is no place."""
    found = [place(name) for name in names]
    return None if not found or None in found else np.array(found, dtype=np.float64)

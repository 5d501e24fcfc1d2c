"""Tables of text that a spreadsheet may open: no cell of them is taken for a formula.

Names of genes, samples and cell types come from files of others. A spreadsheet computes a cell that begins with ``=``,
and can be made to start programs so; such a text is written with an apostrophe before it, and read back without.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from focus_cli.core.storage.regular import require_regular

# An apostrophe before such a text is one of its own, so that what is written can be read back.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]", re.DOTALL)
_ESCAPED = re.compile("'+[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def escape_cell(text: str) -> str:
    """A text as it stands in a table; numbers are no formulas."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unescape_cell(text: str) -> str:
    """The text that `escape_cell` was given."""
    return text[1:] if _ESCAPED.match(text) else text


def write_table(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    separator: str = "\t",
    digits: int = 7,
) -> None:
    """Write a table with one header line, in UTF-8.

    Parameters
    ----------
    columns
        Names of columns, in their order.
    rows
        Column → value. What is missing, None or not finite is an empty field.
    digits
        Significant digits of a floating-point number.
    """
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write(_line([escape_cell(str(name)) for name in columns], separator))
        for row in rows:
            stream.write(_line([_cell(row.get(name), digits) for name in columns], separator))


def read_rows(path: Path, separator: str = "\t") -> list[dict[str, str]]:
    """Rows of a table that `write_table` wrote, as text.

    Raises
    ------
    FocusError
        If it is not there or no regular file.
    OSError, UnicodeDecodeError, csv.Error
        If it cannot be read.
    """
    with open(require_regular(path), encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter=separator)
        return [{_plain(name): _plain(value) for name, value in row.items() if name is not None} for row in rows]


def _line(cells: Sequence[str], separator: str) -> str:
    # The writer of the standard library leaves a carriage return bare, at which readers end a line.
    special = {separator, '"', "\n", "\r"}
    quoted = ['"' + cell.replace('"', '""') + '"' if special & set(cell) else cell for cell in cells]
    return (separator.join(quoted) or '""') + "\n"


def _plain(text: Any) -> str:
    return unescape_cell(text) if isinstance(text, str) else ""


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return ""
    if hasattr(value, "item"):  # a scalar of NumPy
        value = value.item()
    if isinstance(value, float):
        return f"{value:.{digits}g}" if math.isfinite(value) else ""
    return str(value) if isinstance(value, (bool, int)) else escape_cell(str(value))

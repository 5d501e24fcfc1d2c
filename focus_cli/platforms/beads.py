"""Tables of beads: a barcode and a place for each, with or without a header, by any of their separators."""

from __future__ import annotations

from enum import StrEnum
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.checks import check_unique
from focus_cli.platforms.formats.opening import DAMAGE, damaged, open_maybe_gzip


class Column(StrEnum):
    """Columns of a table of beads, and the other names that stand for them."""

    BARCODE = "barcodes"
    X = "xcoord"
    Y = "ycoord"


_ALIASES = {
    Column.BARCODE: ("barcodes", "barcode", "bead", "bead_barcode", "cell", "cellid", ""),
    Column.X: ("xcoord", "x", "x_coord", "spatial_1"),
    Column.Y: ("ycoord", "y", "y_coord", "spatial_2"),
}
_ONE_SEPARATOR = bytes.maketrans(b"\t;", b",,")


def read_beads(path: Path) -> pd.DataFrame:
    """Barcode and place of every bead: columns ``barcodes`` (str), ``xcoord``, ``ycoord`` (float64).

    With or without a header, with or without a column of row numbers; a header separated by tabs over rows
    separated by commas (Slide-seqV2) is read too.

    Raises
    ------
    BadInputError
        If a column is missing or damaged.
    """
    if path.is_dir():
        raise BadInputError(f"{path} is a folder, not a table", hint="restore the vendor's file")
    try:
        with open_maybe_gzip(path) as stream:
            text = stream.read().translate(_ONE_SEPARATOR)
        if b"\x00" in text:
            raise ValueError("it is not text")
        table = pd.read_csv(BytesIO(text), header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError as error:
        raise BadInputError(f"{path} is empty", hint="copy or download the file again") from error
    except pd.errors.ParserError:  # as R writes tables: the column of row names has no name
        table = _with_row_names(path, text)
    except (*DAMAGE, MemoryError) as error:
        raise damaged(path, error) from error
    header = [str(word).strip() for word in table.iloc[0]]
    if _is_number(header[-1]):
        if len(header) != len(Column):
            raise BadInputError(
                f"{path}: {len(header)} columns without a header", hint="it needs barcode, x and y, in this order"
            )
        header = [str(c) for c in Column]
    else:
        table = table.iloc[1:]
    columns = {}
    for wanted in Column:
        at = _column(header, wanted)
        if at is None:
            raise BadInputError(
                f"{path}: column {str(wanted)!r} is missing", hint=f"it needs the columns {', '.join(Column)}"
            )
        columns[str(wanted)] = table[table.columns[at]].str.strip()
    beads = pd.DataFrame(columns).reset_index(drop=True)
    if not len(beads):
        raise BadInputError(f"{path}: no bead", hint="copy or download the file again")
    try:
        for wanted in (Column.X, Column.Y):
            beads[str(wanted)] = pd.to_numeric(beads[str(wanted)]).astype(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInputError(f"{path}: a position is not numeric ({error})", hint="restore the file") from error
    check_unique(beads[str(Column.BARCODE)], "barcodes", path.name)
    return beads


def _with_row_names(path: Path, text: bytes) -> pd.DataFrame:
    try:
        head, _, body = text.partition(b"\n")
        return pd.read_csv(
            BytesIO(b"," + head + b"\n" + body), header=None, dtype=str, keep_default_na=False, encoding="utf-8"
        )
    except DAMAGE as error:
        raise damaged(path, error) from error


def _column(header: list[str], wanted: Column) -> int | None:
    lower = [name.lower() for name in header]
    return next((lower.index(alias) for alias in _ALIASES[wanted] if alias in lower), None)


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False

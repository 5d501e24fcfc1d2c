"""Positions tables of Space Ranger: every version, and what R, pandas or a spreadsheet make of them on saving."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.checks import check_positions, check_unique
from focus_cli.platforms.formats.opening import DAMAGE, damaged, read_parquet
from focus_cli.platforms.formats.tables import as_numbers, is_parquet, iter_table, read_table, table_columns


class Column(StrEnum):
    """Columns of a positions file, in the order of the file without a header."""

    BARCODE = "barcode"
    IN_TISSUE = "in_tissue"
    ARRAY_ROW = "array_row"
    ARRAY_COL = "array_col"
    Y_PX = "pxl_row_in_fullres"
    X_PX = "pxl_col_in_fullres"


# Seurat and older scripts call the same columns by other names; the first of each list is Space Ranger's.
_NAMES: dict[Column, tuple[str, ...]] = {
    Column.BARCODE: ("barcode", "barcodes"),
    Column.IN_TISSUE: ("in_tissue", "tissue"),
    Column.ARRAY_ROW: ("array_row", "row"),
    Column.ARRAY_COL: ("array_col", "array_column", "col"),
    Column.Y_PX: ("pxl_row_in_fullres", "pxl_row", "imagerow", "image_row"),
    Column.X_PX: ("pxl_col_in_fullres", "pxl_col", "imagecol", "image_col"),
}
_KNOWN = frozenset(name for names in _NAMES.values() for name in names)
# What the column of row names is called after R, pandas and others have written the table.
_ROW_NAMES = ("", "unnamed: 0", "rownames", "row_names", "rowname", "index", "x", "cell", "spot", "__index_level_0__")
_NUMBERED = re.compile(r"[vx]?\d*")  # V1, V2 … of R and 0, 1 … of pandas: a header of a table that had none
_WHOLE = (Column.IN_TISSUE, Column.ARRAY_ROW, Column.ARRAY_COL)
_RESTORE = "restore the positions file as Space Ranger wrote it"
_TRUTH = {"true": 1.0, "false": 0.0, "t": 1.0, "f": 0.0, "yes": 1.0, "no": 0.0}


def read_positions(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a positions table, csv, tsv or parquet, with or without its header.

    Columns are found by name, in any order; without names they are Space Ranger's, in its order. A byte order mark,
    quotes, semicolons, tabs, a decimal comma, gzip and a column of row names are borne.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    positions
        Indexed by barcode; ``in_tissue``, ``array_row``, ``array_col`` int64, the pixel columns float64.
    notes
        One line for each guess.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is damaged, lacks a column, a value is not what it should be, or a barcode repeats.
    """
    if is_parquet(path):
        table, notes = _from_parquet(path)
    else:
        table, notes = _from_text(path)
    barcodes = table.pop(str(Column.BARCODE))
    if any(isinstance(name, bytes) for name in barcodes[:1]):
        barcodes = barcodes.map(lambda name: name.decode("utf-8", "replace"))
    table.index = pd.Index(barcodes.astype(str).to_numpy(), dtype=object)
    check_unique(table.index, "barcodes", path.name)
    return _typed(path, table), notes


def first_barcode(path: Path) -> str:
    """The barcode in the first row of a positions table; ``""`` if it has no row.

    Raises
    ------
    MissingResourceError, BadInputError
        As for `read_positions`.
    """
    block = next(iter_table(path, rows=1))
    header = list(block.columns)
    if is_parquet(path) or _is_header(header):
        column = header.index(_by_name(path, header)[0][Column.BARCODE])
        return str(block.iloc[0, column]) if len(block) else ""
    return next((name for name in header if not _NUMBERED.fullmatch(_plain(name))), "")


def _from_parquet(path: Path) -> tuple[pd.DataFrame, list[str]]:
    found, notes = _by_name(path, table_columns(path))
    try:
        table = read_parquet(path, list(found.values()))
    except DAMAGE as error:
        raise damaged(path, error) from error
    return table.rename(columns={name: str(column) for column, name in found.items()}), notes


def _from_text(path: Path) -> tuple[pd.DataFrame, list[str]]:
    header = table_columns(path)
    if _is_header(header):
        found, notes = _by_name(path, _first_names(path))
        table = read_table(path, list(found.values()), text=[found[Column.BARCODE]])
        table[found[Column.BARCODE]] = table[found[Column.BARCODE]].str.strip()
        return table.rename(columns={name: str(column) for column, name in found.items()}), notes
    return _without_names(path, header)


def _is_header(names: list[str]) -> bool:
    return any(_plain(name) in _KNOWN for name in names)


def _plain(name: str) -> str:
    return re.sub(r"[\s.\-]+", "_", name.strip().strip("\"'").lower())


def _by_name(path: Path, header: list[str]) -> tuple[dict[Column, str], list[str]]:
    """Which column of the table holds what, and a note on names that are not Space Ranger's."""
    plain = [_plain(name) for name in header]
    found: dict[Column, str] = {}
    for column, names in _NAMES.items():
        place = next((plain.index(name) for name in names if name in plain), None)
        if place is None and column is Column.BARCODE:
            place = next((plain.index(name) for name in _ROW_NAMES if name in plain), None)
        if place is None:
            raise BadInputError(
                f"{path}: column {str(column)!r} is missing", hint=f"it needs the columns {', '.join(Column)}"
            )
        found[column] = header[place]
    others = [(name, column) for column, name in found.items() if _plain(name) != column]
    if not others:
        return found, []
    read_as = ", ".join(f"{name or 'its row names'!s} as {column}" for name, column in others)
    return found, [f"{path.name}: columns were read by other names than Space Ranger's: {read_as}"]


def _first_names(path: Path) -> list[str]:
    """The names of the columns as the table reader gives them: what R leaves without a name is ``""``."""
    return list(next(iter_table(path, rows=1)).columns)


def _without_names(path: Path, header: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Read a table whose columns are Space Ranger's in its order, perhaps with row names before them."""
    columns = [str(column) for column in Column]
    numbered = all(_NUMBERED.fullmatch(_plain(name)) for name in header)
    given = _first_names(path) if numbered else header
    if len(given) not in (len(columns), len(columns) + 1):
        message = f"{path}: {len(given)} columns where Space Ranger writes {len(columns)} ({', '.join(columns)})"
        if len(given) == 3 and all(_is_number(word) for word in header[1:]):
            raise BadInputError(
                f"{message}: names with x and y, as of another instrument",
                hint="give raw counts and positions as an AnnData, with positions in µm in obsm['spatial_um']",
            )
        raise BadInputError(message, hint=_RESTORE)
    if numbered:
        kept = given[-len(columns) :]
        table = read_table(path, kept, text=kept[:1]).set_axis(columns, axis=1)
        return table, [f"{path.name}: its columns have no names and were taken in the order of Space Ranger"]
    names = columns if len(given) == len(columns) else ["", *columns]
    return read_table(path, columns, names=names, text=columns[:1]), []


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def _typed(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Check the numbers and give each column its type."""
    done = {}
    for column in (Column.X_PX, Column.Y_PX, *_WHOLE):
        done[str(column)] = _numbers(path, table.pop(str(column)), column)
    check_positions(np.column_stack([done[str(Column.X_PX)], done[str(Column.Y_PX)]]), path.name)
    for column in _WHOLE:
        values = done[str(column)]
        known = np.isfinite(values)
        if not known.any() and len(values):
            raise BadInputError(f"{path}: column {str(column)!r} is empty", hint=_RESTORE)
        wrong = ~known | (values != np.rint(values)) | (np.abs(values) > 2**31)
        if column is Column.IN_TISSUE:
            wrong |= (values != 0) & (values != 1)
        if wrong.any():
            row = int(wrong.argmax())
            meant = "0 or 1" if column is Column.IN_TISSUE else "a whole number"
            shown = "no value" if not known[row] else f"{values[row]:g}"
            raise BadInputError(f"{path}: {str(column)!r} has {shown} in row {row + 1}, not {meant}", hint=_RESTORE)
        done[str(column)] = values.astype(np.int64)
    return pd.DataFrame({str(c): done[str(c)] for c in list(Column)[1:]}, index=table.index, copy=False)


def _numbers(path: Path, values: pd.Series, column: Column) -> np.ndarray:
    """One column as float64; what R and spreadsheets write for true and false counts as 1 and 0."""
    if values.dtype == object and column is Column.IN_TISSUE:
        words = values.astype(str).str.strip().str.lower()
        values = words.map(_TRUTH).where(words.isin(list(_TRUTH)), values)
    elif values.dtype == bool:
        return values.to_numpy(np.float64)
    return as_numbers(path, str(column), values).to_numpy(np.float64)

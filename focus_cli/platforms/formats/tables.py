"""Vendors' tables, csv, tsv or parquet, plain, gzipped or zipped: read strictly, refused in one line where damaged."""

from __future__ import annotations

import csv
import re
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.core.storage.regular import require_regular
from focus_cli.platforms.formats.opening import DAMAGE, damaged
from focus_cli.platforms.formats.plain_text import open_text, separator

# What a damaged table raises, beyond what a damaged matrix does.
TABLE_DAMAGE = (*DAMAGE, TypeError, OverflowError, MemoryError, csv.Error, struct.error)
# What stands for "not known" in a column of numbers; in a column of text these are names like any other.
MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
_HEADER_BYTES = 1 << 26
# A number with a decimal comma, and one that could also be a whole number with its thousands set apart.
_COMMA = re.compile(r"\s*[-+]?\d+,\d+(?:[eE][-+]?\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[-+]?[1-9]\d{0,2},\d{3}\s*")
# Values of a wide table that are held as dense numbers at a time.
_BLOCK_VALUES = 4_000_000


def is_parquet(path: Path) -> bool:
    """Whether a file is parquet, by its first bytes, else (where it is damaged) by its name."""
    with open(require_regular(path), "rb") as stream:
        return stream.read(4) == b"PAR1" or path.name.lower().endswith((".parquet", ".pq"))


def table_columns(path: Path, *, sep: str | None = None) -> list[str]:
    """The names in a table's header, without reading its rows.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is damaged, empty or a folder.
    """
    with _guarded(path):
        if is_parquet(path):
            import pyarrow.parquet as pq

            return [str(name) for name in pq.ParquetFile(path).schema_arrow.names]
        with open_text(path) as stream:
            return _header(path, stream, sep)[0]


def read_table(
    path: Path,
    columns: Collection[str] | None = None,
    *,
    required: Collection[str] = (),
    text: Collection[str] = (),
    numbers: Collection[str] = (),
    names: Sequence[str] | None = None,
    sep: str | None = None,
) -> pd.DataFrame:
    """Read a csv, tsv or parquet table.

    Parameters
    ----------
    path
        The file; compression and format are detected from its first bytes.
    columns
        The columns to keep, in this order, as far as the table has them; all by default.
    required
        Columns without which the table is refused.
    text
        Columns to keep as str, digit for digit (ids). Bytes are decoded; what is not there is ``""``.
    numbers
        Columns to give as float64; `MISSING` becomes NaN, anything else that is no number is refused.
    names
        The columns of a csv without a header.
    sep
        Separator; by default whichever of tab, comma and semicolon the first line has most, a blank without them.

    Returns
    -------
    pandas.DataFrame
        Index 0 … n − 1. A column without a name is called ``""``.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is damaged or a folder, a required column is missing or comes twice, or a number is none.
    """
    options = {"required": required, "text": text, "numbers": numbers, "names": names, "sep": sep}
    blocks = list(iter_table(path, columns, **options))
    return blocks[0] if len(blocks) == 1 else pd.concat(blocks, ignore_index=True)


def iter_table(
    path: Path,
    columns: Collection[str] | None = None,
    *,
    required: Collection[str] = (),
    text: Collection[str] = (),
    numbers: Collection[str] = (),
    names: Sequence[str] | None = None,
    sep: str | None = None,
    rows: int = 500_000,
) -> Iterator[pd.DataFrame]:
    """Like `read_table`, at most `rows` rows at a time; at least one block, which may be empty."""
    path = Path(path)
    wanted = None if columns is None else [str(c) for c in columns]
    text, numbers, required = ({str(c) for c in group} for group in (text, numbers, required))
    with _guarded(path):
        for block in _raw_blocks(path, wanted, text, names, sep, rows):
            _check_columns(path, list(block.columns), required, wanted)
            if wanted is not None:
                block = block[[c for c in wanted if c in block.columns]]
            yield _typed(path, block, text, numbers)


@dataclass(frozen=True)
class WideCounts:
    """A table of counts with one column for each feature.

    `keys` holds the columns before the features as str; `counts` is CSR float32, rows × features.
    """

    keys: pd.DataFrame
    features: list[str]
    counts: sparse.csr_matrix


def read_wide_counts(path: Path, keys: Collection[str], *, sep: str | None = None) -> WideCounts:
    """Read a csv, tsv or parquet table of counts a block of rows at a time; zeros are never kept.

    Parameters
    ----------
    path
        The file.
    keys
        The columns that are no features, by name (``""``: the unnamed one); those absent are passed over.

    Returns
    -------
    WideCounts
        Rows and features in the order of the file; values are numbers, but not checked to be counts.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is damaged, has no feature or no row, a feature twice, or a value that is no number.
    """
    path = Path(path)
    header = table_columns(path, sep=sep)
    rows = max(1, _BLOCK_VALUES // max(1, len(header)))
    heads, blocks, n = [], [], 0
    features: list[str] = []
    with _guarded(path):
        for block in _raw_blocks(path, None, keys, None, sep, rows):
            known = np.flatnonzero([name in keys for name in block.columns])
            others = np.flatnonzero([name not in keys for name in block.columns])
            features = [str(name) for name in block.columns[others]]
            _check_features(path, features)
            heads.append(_typed(path, block.iloc[:, known], keys, ()))
            blocks.append(_counts(path, block.iloc[:, others], n))
            n += len(block)
    if not n:
        raise BadInputError(f"{path}: the matrix is empty (no row)", hint="check the matrix file")
    return WideCounts(pd.concat(heads, ignore_index=True), features, sparse.vstack(blocks, format="csr"))


def _check_features(path: Path, features: list[str]) -> None:
    if not features:
        raise BadInputError(f"{path}: the panel is empty (no column of counts)", hint="check the file")
    if len(set(features)) < len(features):
        index = pd.Index(features)
        raise BadInputError(
            f"{path}: column {index[index.duplicated()][0]!r} comes twice", hint="restore the vendor's file"
        )


def _counts(path: Path, block: pd.DataFrame, before: int) -> sparse.csr_matrix:
    """One block of counts, float32; `before` rows were read already."""
    if any(dtype.kind not in "iuf" for dtype in block.dtypes):
        columns = {i: as_numbers(path, name, block.iloc[:, i]) for i, name in enumerate(block.columns)}
        block = pd.DataFrame(columns, index=block.index)
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, which is refused as a count
        dense = block.to_numpy(np.float32)
    short = np.isnan(dense).any(axis=1)
    if short.any():
        row = before + int(short.argmax()) + 1
        raise BadInputError(f"{path}: a count is missing in row {row}: truncated?", hint="copy the file again")
    return sparse.csr_matrix(dense)


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Turn an exception of a library for a damaged table into a refusal."""
    path = Path(path)
    if path.is_dir():
        raise BadInputError(f"{path} is a folder, not a table", hint="restore the vendor's file")
    if not path.is_file():
        raise MissingResourceError(f"no such file: {path}", hint="check the folder")
    try:
        yield
    except FocusError:
        raise
    except TABLE_DAMAGE as error:
        raise damaged(path, error) from error


def _header(path: Path, stream: IO[bytes], sep: str | None) -> tuple[list[str], str]:
    """The names of the first line, and the separator."""
    line = stream.readline(_HEADER_BYTES)
    if not line.strip():
        raise BadInputError(f"{path} is empty", hint="copy or download the file again")
    if b"\x00" in line:
        raise ValueError("its first line is not text")
    words = line.decode("utf-8-sig").rstrip("\r\n")
    if sep is None:
        sep = separator(words)
    names = next(csv.reader([words], delimiter=sep))
    return [name.strip() for name in names], sep


def _csv_blocks(path: Path, text: Collection[str], names: Sequence[str] | None, sep: str | None, rows: int):
    with open_text(path) as stream:
        first, sep = _header(path, stream, sep)
        if names is None:
            names = first
        else:
            names = [str(name) for name in names]
            stream.seek(0)
        second = stream.tell()
        line = stream.readline(_HEADER_BYTES)
        if not line.strip():
            yield pd.DataFrame({}, columns=list(names), dtype=object)
            return
        width = len(next(csv.reader([line.decode("utf-8-sig")], delimiter=sep)))
        if width == len(names) + 1:  # as R writes tables: the column of row names has no name
            names = ["", *names]
        if width != len(names):
            raise ValueError(f"{width} values in a row of {len(names)} columns")
        stream.seek(second)
        as_text = {i for i, name in enumerate(names) if name in text}
        reader = pd.read_csv(
            stream,
            sep=sep,
            header=None,
            dtype=dict.fromkeys(as_text, str),
            keep_default_na=False,
            na_values={i: MISSING for i in range(width) if i not in as_text},
            encoding="utf-8-sig",
            chunksize=rows,
            low_memory=False,
        )
        for block in reader:
            yield block.set_axis(list(names), axis=1).reset_index(drop=True)


def _raw_blocks(path: Path, wanted, text: Collection[str], names: Sequence[str] | None, sep: str | None, rows: int):
    if is_parquet(path):
        return _parquet_blocks(path, wanted, rows)
    return _csv_blocks(path, text, names, sep, rows)


def _parquet_blocks(path: Path, wanted: Sequence[str] | None, rows: int):
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        known = file.schema_arrow.names
        columns = known if wanted is None else [c for c in wanted if c in known]
        empty = True
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            empty = False
            yield pa.Table.from_batches([batch]).to_pandas(ignore_metadata=True)
        if empty:
            yield file.schema_arrow.empty_table().select(columns).to_pandas(ignore_metadata=True)


def _check_columns(path: Path, found: list[str], required: Collection[str], wanted: Sequence[str] | None) -> None:
    for name in sorted(required):
        if name not in found:
            raise BadInputError(
                f"{path}: column {name!r} is missing", hint=f"it needs the columns {', '.join(sorted(required))}"
            )
    for name in required if wanted is None else wanted:
        if found.count(name) > 1:
            raise BadInputError(f"{path}: column {name!r} comes twice", hint="restore the vendor's file")


def _typed(path: Path, block: pd.DataFrame, text: Collection[str], numbers: Collection[str]) -> pd.DataFrame:
    columns = {}
    for i, name in enumerate(block.columns):
        values = block.iloc[:, i]
        if name in text:
            columns[i] = _as_text(path, name, values)
        elif name in numbers:
            columns[i] = as_numbers(path, name, values)
        else:
            columns[i] = values
    return pd.DataFrame(columns, index=block.index).set_axis(block.columns, axis=1)


def _as_text(path: Path, name: str, values: pd.Series) -> pd.Series:
    if values.isna().any():
        row = int(values.isna().to_numpy().argmax()) + 1
        raise BadInputError(f"{path}: column {name!r} has no value in row {row}", hint="restore the vendor's file")
    if pd.api.types.is_float_dtype(values) and bool(np.all(values == np.rint(values))):
        values = values.astype(np.int64)  # an id that went through floats
    values = values.map(lambda v: v.decode("utf-8") if isinstance(v, bytes) else str(v)).astype(object)
    return values.str[1:-1] if _are_quoted(values) else values


def _are_quoted(values: pd.Series) -> bool:
    """Whether every text stands in separate quotes, as a table that was quoted twice leaves them."""
    first = values.iloc[0][:1] if len(values) else ""
    if first not in ("'", '"') or not first:
        return False
    return bool((values.str.startswith(first) & values.str.endswith(first) & (values.str.len() > 1)).all())


def as_numbers(path: Path, name: str, values: pd.Series) -> pd.Series:
    """A column of a table as float64; a decimal comma is understood where it can mean nothing else.

    Raises
    ------
    BadInputError
        If a value is no number.
    """
    try:
        if pd.api.types.is_bool_dtype(values):
            raise ValueError(f"{values.iloc[0]!r}")
        try:
            return pd.to_numeric(values).astype(np.float64)
        except (ValueError, TypeError):
            if values.dtype != object and not isinstance(values.dtype, pd.StringDtype):
                raise
            return pd.to_numeric(_with_points(values.astype(object))).astype(np.float64)
    except TABLE_DAMAGE as error:
        reason = " ".join(str(error).split())[:100]
        raise BadInputError(
            f"{path}: column {name!r} is not numeric ({reason})", hint="restore the vendor's file"
        ) from error


def _with_points(values: pd.Series) -> pd.Series:
    """Replace decimal commas by points.

    Raises
    ------
    ValueError
        If some value is no number, or the commas may set thousands apart.
    """
    texts = values.map(lambda value: value if isinstance(value, str) else None)
    commas = [text for text in texts if text is not None and "," in text]
    other = next((text for text in commas if not _COMMA.fullmatch(text)), None)
    if not commas or other is not None:
        pd.to_numeric(values)  # names the value
    if all(_THOUSANDS.fullmatch(text) for text in commas):
        raise ValueError(f"{commas[0]!r} has a decimal comma or a thousands separator")
    return values.map(lambda value: value.replace(",", ".") if isinstance(value, str) else value)

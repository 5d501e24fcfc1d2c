"""Wide text tables of counts that are mostly zero, read a line at a time: only what is not zero is parsed."""

from __future__ import annotations

import csv
from array import array
from pathlib import Path

import numpy as np
from scipy import sparse

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.platforms.formats.opening import DAMAGE, damaged
from focus_cli.platforms.formats.plain_text import open_text

_AGAIN = "copy or download the file again"
_SEPARATORS = (b"\t", b",", b";")
_ZERO, _NINE = ord("0"), ord("9")
_LONGEST = 1 << 28  # a line of 256 MB is no line of a table


def read_text_matrix(path: Path) -> tuple[list[str], list[str], sparse.csr_matrix]:
    """Read a table whose first line names its columns and whose first column names its rows.

    The corner may be named (``GENE``), empty, or absent as R writes it. Memory is one line and what is not
    zero.

    Parameters
    ----------
    path
        Text separated by tabs, commas, semicolons or blanks; plain, gzipped or zipped.

    Returns
    -------
    rows, columns
        Names, without quotes.
    values
        float64 CSR (rows, columns); not checked to be counts.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is empty, truncated, a folder, or a value is no number.
    """
    path = Path(path)
    if path.is_dir():
        raise BadInputError(f"{path} is a folder, not a table", hint="restore the vendor's file")
    if not path.is_file():
        raise MissingResourceError(f"no such file: {path}", hint="check the folder")
    try:
        return _read(path)
    except FocusError:
        raise
    except (*DAMAGE, OverflowError, MemoryError, csv.Error) as error:
        raise damaged(path, error) from error


def _read(path: Path) -> tuple[list[str], list[str], sparse.csr_matrix]:
    rows: list[str] = []
    data, indices, indptr = array("d"), array("q"), array("q", [0])
    with open_text(path) as stream:
        header = _line(stream)
        if not header.strip():
            raise BadInputError(f"{path} is empty", hint=_AGAIN)
        if b"\x00" in header:
            raise ValueError("its first line is not text")
        sep = max(_SEPARATORS, key=header.count)
        sep = sep if sep in header else b" "  # a name may hold a blank
        columns = _names(header, sep)
        width = len(columns)
        number = 1
        while line := _line(stream):
            number += 1
            if not line.strip():
                continue
            if sep not in header and sep not in line.rstrip(b"\r\n"):
                raise BadInputError(f"{path} is empty: line {number} is a name without values", hint=_AGAIN)
            name, where, values, n = _parse(line, sep, number)
            if not rows:  # the corner has a name, or none
                if n == width - 1:
                    columns = columns[1:]
                elif n != width:
                    raise ValueError(f"{n} values in a row of {width - 1} columns")
            if n != len(columns):
                raise ValueError(f"line {number} holds {n} values, the header names {len(columns)} columns")
            rows.append(name)
            indices.frombytes(where.tobytes())
            data.frombytes(values.tobytes())
            indptr.append(len(indices))
    if not rows:
        raise BadInputError(f"{path}: the matrix is empty (no row of counts)", hint="copy the file again")
    matrix = sparse.csr_matrix(
        (np.frombuffer(data), np.frombuffer(indices, np.int64), np.frombuffer(indptr, np.int64))
        if len(data)
        else (np.zeros(0), np.zeros(0, np.int64), np.frombuffer(indptr, np.int64)),
        shape=(len(rows), len(columns)),
    )
    return rows, columns, matrix


def _line(stream) -> bytes:
    line = stream.readline(_LONGEST)
    if len(line) >= _LONGEST:
        raise ValueError("a line has no end")
    return line


def _names(line: bytes, sep: bytes) -> list[str]:
    words = line.decode("utf-8-sig").rstrip("\r\n")
    return [name.strip() for name in next(csv.reader([words], delimiter=sep.decode()))]


def _parse(line: bytes, sep: bytes, number: int) -> tuple[str, np.ndarray, np.ndarray, int]:
    """Name of the row, indices and values of what is not a plain ``0``, and how many values there are."""
    line = line.rstrip(b"\r\n")
    if line.startswith(b'"'):
        end = line.find(b'"' + sep, 1)
        if end < 0:
            raise ValueError(f"line {number} has a quote without an end")
        name, body = line[1:end], line[end + 2 :]
    else:
        name, _, body = line.partition(sep)
    text = np.frombuffer(body + sep, np.uint8)
    ends = np.flatnonzero(text == sep[0])
    starts = np.concatenate([[0], ends[:-1] + 1])
    digit = (text[starts] >= _ZERO) & (text[starts] <= _NINE)
    digit &= (ends - starts == 1) | _point_zero(text, starts, ends)
    small = np.flatnonzero(digit & (text[starts] != _ZERO))
    where, values = [small], [text[starts[small]].astype(np.float64) - _ZERO]
    others = np.flatnonzero(~digit)
    if len(others):
        parsed = np.array([_number(body[starts[i] : ends[i]], number, i) for i in others.tolist()])
        where.append(others[parsed != 0])
        values.append(parsed[parsed != 0])
    where, values = np.concatenate(where), np.concatenate(values)
    order = np.argsort(where, kind="stable")
    where, values = where[order].astype(np.int64), values[order]
    return name.decode("utf-8").strip(), where, values, len(ends)


def _point_zero(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which tokens are three characters that end in ``.0``, as pandas writes counts that were floats."""
    three = ends - starts == 3
    if not three.any():
        return three
    second, third = np.minimum(starts + 1, len(text) - 1), np.minimum(starts + 2, len(text) - 1)
    return three & (text[second] == ord(".")) & (text[third] == _ZERO)


def _number(token: bytes, line: int, column: int) -> float:
    token = token.strip(b'" ')
    try:
        if b"_" in token:  # a separator of digits to Python alone
            raise ValueError
        return float(token)
    except ValueError:
        shown = token[:20].decode("utf-8", "replace")
        raise ValueError(f"line {line}, column {column + 2}: {shown!r} is no number") from None

"""Arrays from safetensors files, checked against what they should be: names, types, shapes, finite values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core.errors import BadInputError, FocusError
from focus_cli.core.storage.damage import damaged
from focus_cli.core.storage.documents import parse_json
from focus_cli.core.storage.regular import require_regular

_MAX_HEADER = 64 << 20
_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "BOOL": "bool"} | {
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
}


@dataclass(frozen=True)
class Expected:
    """What a tensor must be.

    Attributes
    ----------
    shape
        Length of every axis; None where any will do. None for any shape.
    dtypes
        Names of NumPy types that are taken.
    optional
        Whether it may be missing.
    """

    shape: tuple[int | None, ...] | None = None
    dtypes: tuple[str, ...] = ("float32",)
    optional: bool = False


def read_tensors(
    path: Path, expected: Mapping[str, Expected] | None = None, *, others: bool = False, hint: str = "make it again"
) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors file.

    Parameters
    ----------
    expected
        What must be there, by name; the header is compared with it before any value is read. By default anything.
    others
        Whether further tensors may be there; they are returned as well.
    hint
        What to do about a damaged file.

    Returns
    -------
    dict
        Arrays by name, of finite values.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is no regular file, damaged, or not what is expected. The message names the file and the tensor.
    """
    from safetensors.numpy import load_file

    path = require_regular(path)
    try:
        header = _read_header(path)
        if expected is not None:
            _compare(header, expected, others, path, hint)
        arrays = load_file(path)
    except FocusError as error:
        raise type(error)(error.message, error.hint or hint) from error
    except Exception as error:  # safetensors raises SafetensorError, NumPy and ml_dtypes their own
        raise damaged(path, error, hint) from error
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadInputError(f"{path} is damaged: {name} holds NaN or infinite values", hint=hint)
    return arrays


def _read_header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every tensor."""
    size = os.stat(path).st_size
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise ValueError("its header does not fit into the file")
        header: Any = parse_json(stream.read(length), f"the header of {path}")
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    header.pop("__metadata__", None)
    return {str(n): (str(t["dtype"]), tuple(int(side) for side in t["shape"])) for n, t in header.items()}


def _compare(
    header: Mapping[str, tuple[str, tuple[int, ...]]],
    expected: Mapping[str, Expected],
    others: bool,
    path: Path,
    hint: str,
) -> None:
    for name, wanted in expected.items():
        if name not in header:
            if wanted.optional:
                continue
            raise BadInputError(f"{path} is damaged: {name} is missing", hint=hint)
        kind, shape = header[name]
        if _NAMES.get(kind) not in wanted.dtypes:
            raise BadInputError(
                f"{path} is damaged: {name} is {_NAMES.get(kind, kind)}, not {' or '.join(wanted.dtypes)}", hint=hint
            )
        if wanted.shape is not None and not _fits(shape, wanted.shape):
            text = " × ".join("n" if side is None else str(side) for side in wanted.shape) or "one number"
            raise BadInputError(
                f"{path} is damaged: {name} has shape {' × '.join(map(str, shape))}, not {text}", hint=hint
            )
    if not others and (more := sorted(set(header) - set(expected))):
        raise BadInputError(f"{path} is damaged: {more[0]} does not belong there", hint=hint)


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w is None or side == w for side, w in zip(shape, wanted))

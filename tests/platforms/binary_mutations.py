"""Damage inside HDF5 and Parquet files; see `mutations`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from odd_words import ESCAPE, NUMBERS, WORDS, pick, tricks


def damage_hdf5(file: Path, rng: np.random.Generator, outside: Path) -> str:
    """Damage one dataset, group or attribute of an HDF5 file."""
    with h5py.File(file, "r+") as h5:
        datasets: list[str] = []
        groups: list[str] = []
        h5.visititems(lambda n, o: (datasets if isinstance(o, h5py.Dataset) else groups).append(n))
        what = pick(rng, ("removed", "no group", "replaced", "replaced", "one value", "text", "attributes", "moved"))
        name = pick(rng, groups) if what == "no group" and groups else pick(rng, datasets)
        if what in ("removed", "no group"):
            del h5[name]
        elif what == "moved":
            h5.move(name, name + "x")
            link = pick(rng, ("none", "soft", "external", "group"))
            if link == "soft":
                h5[name] = h5py.SoftLink("/" + name)
            elif link == "external":
                h5[name] = h5py.ExternalLink(str(outside / ESCAPE), "/x")
            elif link == "group":
                h5.create_group(name)
        elif what == "attributes":
            return f"{_attributes(h5, pick(rng, [*datasets, *groups, '/']), rng)} of {name}"
        else:
            names = [n for n in datasets if h5[n].dtype.kind in "OS"] if what == "text" else datasets
            name = pick(rng, names or datasets)
            held = h5[name]
            attributes, before = dict(held.attrs), np.asarray(held[()])
            after = (_other if what == "replaced" else _value)(before, rng, outside)
            if after is not before:
                del h5[name]
                h5[name] = after
                if rng.random() < 0.8:
                    h5[name].attrs.update(attributes)
        return f"{name} {what}"


def _other(before: np.ndarray, rng: np.random.Generator, outside: Path) -> np.ndarray:
    """The same dataset of another type or shape."""
    shape = before.shape or (1,)
    ways: tuple[Callable[[], np.ndarray], ...] = (
        lambda: before.ravel()[: before.size // 2],
        lambda: before.ravel()[:0],
        lambda: np.concatenate([before.ravel(), before.ravel()]),
        lambda: np.zeros(shape, "S4"),
        lambda: np.full(shape, np.nan),
        lambda: np.full(shape, -7),
        lambda: np.full(shape, 2**62),
        lambda: np.full(shape, 1.5, np.float16),
        lambda: np.zeros(shape, np.complex64),
        lambda: np.zeros(shape, bool),
        lambda: np.zeros((2, 2, 2)),
        lambda: np.float64(3.0),
        lambda: np.array([str(outside / ESCAPE).encode()] * int(np.prod(shape))),
        lambda: before.reshape(1, -1),
    )
    return pick(rng, ways)()


def _value(before: np.ndarray, rng: np.random.Generator, outside: Path) -> np.ndarray:
    """The same dataset with one or all of its values changed."""
    if not before.size:
        return before
    after = np.array(before)
    at = slice(None) if rng.random() < 0.3 else int(rng.integers(after.size))
    flat = after.reshape(-1)
    if after.dtype.names:
        field = pick(rng, after.dtype.names)
        if after.dtype[field].kind in "iu":
            flat[field][at] = pick(rng, (0, 1, np.iinfo(after.dtype[field]).max))
    elif after.dtype.kind in "OS":
        words = [w.replace("\x00", "?").encode() for w in (*tricks(outside), *NUMBERS, *WORDS)]
        other = [v if isinstance(v, bytes) else str(v).encode() for v in flat.tolist()]
        chosen = pick(rng, [*words, b"\xff\xfe\xfd", other[0]])
        other[at] = [chosen] * len(other) if isinstance(at, slice) else chosen
        return np.array(other, dtype=object if before.dtype.kind == "O" else None).reshape(before.shape)
    elif after.dtype.kind == "f":
        flat[at] = pick(rng, (np.nan, np.inf, -3, 1e30, 0.5, 0))
    elif after.dtype.kind in "iu":
        limits = np.iinfo(after.dtype)
        flat[at] = pick(rng, (0, 1, limits.max, limits.min))
    return after


def _attributes(h5: h5py.File, name: str, rng: np.random.Generator) -> str:
    held = h5[name].attrs
    for key in list(held):
        if rng.random() < 0.4:
            del held[key]
        elif rng.random() < 0.5:
            values = (b"x", "x", "../x", np.array([-1.5]), np.nan, np.array([1e300]), -1, "0.0.0", "csc_matrix", 2**62)
            held[key] = pick(rng, values)
    return f"attributes of {name}"


# ---- Parquet -------------------------------------------------------------------------------------------------


def damage_parquet(file: Path, rng: np.random.Generator, outside: Path) -> str:
    """Damage one column of a Parquet file, or all its rows."""
    table = pd.read_parquet(file)
    column = pick(rng, list(table.columns))
    what = pick(rng, ("removed", "renamed", "swapped", "filled", "one", "doubled", "empty", "as text"))
    if what == "removed":
        table = table.drop(columns=column)
    elif what == "renamed":
        table = table.rename(columns={column: pick(rng, ("other", *(t[:200] for t in tricks(outside))))})
    elif what == "swapped":
        other = pick(rng, list(table.columns))
        table = table.rename(columns={column: other, other: column})
    elif what == "doubled":
        table = pd.concat([table, table])
    elif what == "empty":
        table = table.iloc[:0]
    elif what == "as text":
        table[column] = table[column].map(str)
    else:
        values = (
            None,
            "x",
            [1, 2],
            {"a": 1},
            b"\xff\xfe",
            1e300,
            -1,
            np.nan,
            np.inf,
            pd.Timestamp("2020"),
            True,
            2**62,
        )
        value = pick(rng, (*values, *tricks(outside)))
        cells = table[column].tolist()
        if what == "filled":
            cells = [value] * len(cells)
        elif cells:
            cells[int(rng.integers(len(cells)))] = value
        table[column] = pd.Series(cells, index=table.index, dtype=object)
        what = f"{what} ({str(value)[:20]!r})"
    try:
        table.to_parquet(file)
    except (ValueError, TypeError, OverflowError):  # pyarrow cannot hold the mixture: damage of another kind
        file.write_bytes(file.read_bytes()[:-100])
        what = "end cut"
    return f"column {column} {what}"

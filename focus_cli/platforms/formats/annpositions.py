"""Where the locations of an AnnData lie: which element holds x and y, and which of its columns is which."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.platforms.formats.annparts import AnnTable
from focus_cli.platforms.position_columns import UM_PER_UNIT, Pair, find_pairs, numbered, position_pairs

# Where laboratories keep (x, y): scanpy and squidpy's key first, then others, in small letters without separators.
POSITION_KEYS = (keys.SPATIAL, "X_spatial")
_OTHER_KEYS = re.compile(
    r"(x)?(spatial|spatial[23]d|spatialcoords?|spatialcoordinates|xy|xyz|coords?|coordinates|positions?|centroids?|"
    r"locations?|spatialpx|spatialpixels?|xyloc|spatialxy)"
)
_HINT = f"put (x, y) in full-resolution pixels into obsm[{keys.SPATIAL!r}]"


@dataclass(frozen=True)
class Positions:
    """Positions of the locations.

    Attributes
    ----------
    xy
        float64 (n, 2), in the units of the file.
    z
        float64 (n,), where there is a third coordinate.
    in_um
        Whether the names of the columns state µm.
    by_name
        Whether names of columns distinguish x and y.
    warnings
        What was guessed.
    """

    xy: np.ndarray
    z: np.ndarray | None = None
    in_um: bool = False
    by_name: bool = False
    warnings: list[str] = field(default_factory=list)


def is_position_key(key: str) -> bool:
    """Whether an element of ``obsm`` with this name holds positions."""
    return key in POSITION_KEYS or bool(_OTHER_KEYS.fullmatch(re.sub(r"[^a-z0-9]", "", key.lower())))


def positions(table: AnnTable) -> Positions:
    """Positions of the locations: of ``obsm``, else of two columns of ``obs`` whose names leave no doubt.

    Raises
    ------
    BadInputError
        If there are none, they are no numbers, or it is not clear which column is x.
    """
    key = next((k for k in POSITION_KEYS if k in table.obsm), None)
    if key is not None:
        return of_element(table.obsm[key], f"{table.name}: obsm[{key!r}]", len(table.obs))
    others = [k for k in table.obsm if is_position_key(k)]
    if len(others) == 1:
        found = of_element(table.obsm[others[0]], f"{table.name}: obsm[{others[0]!r}]", len(table.obs))
        note = f"{table.name}: obsm[{keys.SPATIAL!r}] is missing; positions are taken from obsm[{others[0]!r}]"
        return replace(found, warnings=[note, *found.warnings])
    if others:
        raise BadInputError(
            f"{table.name}: obsm[{keys.SPATIAL!r}] is missing, and several elements may hold positions "
            f"({', '.join(map(repr, sorted(others)))})",
            hint=f"copy the one in full-resolution pixels to obsm[{keys.SPATIAL!r}]",
        )
    return _of_obs(table)


def _of_obs(table: AnnTable) -> Positions:
    numeric = [str(c) for i, c in enumerate(table.obs.columns) if _numbers(table.obs.iloc[:, i])]
    pairs = position_pairs(numeric)
    missing = f"{table.name}: obsm[{keys.SPATIAL!r}] is missing"
    if len(pairs) > 1:
        listed = ", ".join(f"{p.x} and {p.y}" for p in pairs[:4])
        raise BadInputError(f"{missing}, and several columns of obs may be positions ({listed})", hint=_HINT)
    if not pairs:
        if table.transposed:
            raise BadInputError(
                f"{table.name}: the table is transposed: positions are in varm, so var holds the locations",
                hint="write adata.T (locations × genes) instead",
            )
        grid = [p for p in find_pairs(numeric) if {"array", "grid"} & set(p.words)]
        if grid:
            raise BadInputError(
                f"{missing}: obs[{grid[0].x!r}] and obs[{grid[0].y!r}] are places on the array, not on the image",
                hint=f"{_HINT}; Space Ranger's tissue_positions has them",
            )
        local = [p for p in find_pairs(numeric) if {"local", "fov"} & set(p.words)]
        within = f"obs[{local[0].x!r}]" if local else next(iter(table.within), "")
        if within:
            raise BadInputError(
                f"{missing}, and {within} holds positions within fields of view, which share one frame",
                hint=f"{_HINT}: those of the whole slide (global positions)",
            )
        raise BadInputError(f"{missing}: the locations have no position", hint=_HINT)
    note = f"{missing}; positions are taken from obs[{pairs[0].x!r}] (x) and obs[{pairs[0].y!r}] (y)"
    found = _of_pair(table.obs, pairs[0], f"{table.name}: obs")
    return replace(found, warnings=[note, *found.warnings])


def of_element(value: Any, where: str, n: int) -> Positions:
    """Positions in an element of ``obsm``: the first two columns of an array, columns of a table by their names.

    Raises
    ------
    BadInputError
        If it holds no two columns of numbers for `n` locations, or it is not clear which column is x.
    """
    if isinstance(value, pd.DataFrame):
        if len(value) != n:
            raise _no_pairs(where)
        return _of_table(value, where)
    xy = np.asarray(value)
    if xy.ndim != 2 or xy.shape[1] < 2 or xy.dtype.kind not in "fiu" or len(xy) != n:
        raise _no_pairs(where)
    xy = xy.astype(np.float64)
    notes = []
    if xy.shape[1] > 3:
        notes = [f"{where} has {xy.shape[1]} columns: the first two are taken as x and y, the third as z"]
    return Positions(xy[:, :2], xy[:, 2] if xy.shape[1] > 2 else None, warnings=notes)


def _of_table(table: pd.DataFrame, where: str) -> Positions:
    names = [str(c) for c in table.columns]
    if not all(_numbers(table.iloc[:, i]) for i in range(len(names))):
        table = table[[c for i, c in enumerate(table.columns) if _numbers(table.iloc[:, i])]]
        names = [str(c) for c in table.columns]
    if len(names) < 2:
        raise _no_pairs(where)
    pairs = position_pairs(names) or find_pairs(names)
    if len(pairs) == 1:
        return _of_pair(table, pairs[0], where)
    if not pairs and len(names) in (2, 3) and numbered(names):
        xyz = np.column_stack([_column(table, name) for name in names])
        note = f"{where}: columns {names[0]} and {names[1]} are taken as x and y"
        return Positions(xyz[:, :2], xyz[:, 2] if xyz.shape[1] == 3 else None, warnings=[note])
    raise BadInputError(
        f"{where}: columns {', '.join(names[:6])} do not state which of them is x and which y",
        hint="name them 'x' and 'y' (or pxl_col_in_fullres and pxl_row_in_fullres)",
    )


def _of_pair(table: pd.DataFrame, pair: Pair, where: str) -> Positions:
    xy = np.column_stack([_column(table, pair.x), _column(table, pair.y)])
    z = None if pair.z is None else _column(table, pair.z)
    notes = []
    if pair.unit:
        factor = UM_PER_UNIT[pair.unit]
        xy, z = xy * factor, None if z is None else z * factor
        notes = [f"{where}: {pair.x} and {pair.y} are taken to be in {pair.unit}"]
    return Positions(xy, z, bool(pair.unit), True, notes)


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    values = table.iloc[:, [str(c) for c in table.columns].index(name)]
    return pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _numbers(values: Sequence | Iterable) -> bool:
    dtype = getattr(values, "dtype", None)
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)


def _no_pairs(where: str) -> BadInputError:
    return BadInputError(f"{where} is not a table of (x, y)", hint="it needs two columns of numbers")

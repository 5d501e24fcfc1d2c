"""A table of counts and a table of positions that belong together: which columns are x and y, which rows are which."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.missing import texts
from focus_cli.platforms.checks import check_unique
from focus_cli.platforms.formats.matrix import read_matrix
from focus_cli.platforms.formats.opening import open_table
from focus_cli.platforms.formats.tables import is_parquet, read_table, read_wide_counts, table_columns
from focus_cli.platforms.formats.text_matrix import read_text_matrix
from focus_cli.platforms.position_columns import UM_PER_UNIT, Pair, position_pairs, split_axis

_MOST_KEYS = 50  # columns that are tried as the names of the locations
_MATRIX_MARKET = b"%%MatrixMarket"
_LISTS = {
    "barcodes": re.compile(r"(barcodes?|cells?|spots?)(_?(names?|ids?))?\.(tsv|txt|csv)(\.gz)?", re.IGNORECASE),
    "features": re.compile(r"(features?|genes?)(_?(names?|ids?))?\.(tsv|txt|csv)(\.gz)?", re.IGNORECASE),
}
_NAME_COLUMNS = re.compile(r"(cell|spot|bead|barcode|location|object)?[_ .]?(ids?|names?|barcodes?)?", re.IGNORECASE)


@dataclass
class PlacedTable:
    """The table of positions.

    Attributes
    ----------
    xy
        float64 (n, 2), as the table has them.
    z
        float64 (n,), or None.
    pair
        The columns that x and y come from.
    others
        Every other column as text or numbers, n rows.
    """

    path: Path
    xy: np.ndarray
    z: np.ndarray | None
    pair: Pair
    others: pd.DataFrame
    warnings: list[str] = field(default_factory=list)

    @property
    def unit_um(self) -> float | None:
        """µm per unit where the names of the columns state one, else None (pixels, or unknown)."""
        return UM_PER_UNIT.get(self.pair.unit)


@dataclass
class Matched:
    """Counts of the locations that have a position, and the rows of the table of positions that are theirs."""

    names: list[str]
    genes: list[str]
    counts: sparse.csr_matrix
    rows: np.ndarray
    warnings: list[str]


def read_positions(path: Path, xy: str | None) -> PlacedTable:
    """Read a table of positions by the names of its columns.

    Parameters
    ----------
    path
        Text or parquet.
    xy
        ``"X,Y"``: the columns of x and y by name, or by number (1, 2, …) where the table has no header.

    Raises
    ------
    UsageError
        If several pairs of columns could be x and y, or `xy` names none of the table.
    BadInputError
        If no column is named as x and y, there is no header, or a position is no number.
    """
    header = table_columns(path)
    bare = not is_parquet(path) and _is_data(header)
    columns = [str(i + 1) for i in range(len(header))] if bare else header
    if bare and xy is None:
        raise BadInputError(
            f"{path}: its first line ({', '.join(header)[:60]}) is no header: nothing states which of its "
            f"{len(header)} columns is x",
            hint="write a first line with the names of the columns, or give the numbers of x and y, as in --xy 1,2",
        )
    pair = _stated_pair(path, columns, xy, bare=bare) if xy is not None else _named_pair(path, columns)
    numbers = [name for name in (pair.x, pair.y, pair.z) if name is not None]
    others = [name for name in dict.fromkeys(columns) if name not in numbers]
    text = [] if is_parquet(path) else others
    table = read_table(path, required=numbers, numbers=numbers, text=text, names=columns if bare else None)
    table = table.loc[:, ~table.columns.duplicated()]
    if "" in table.columns and "" not in columns:  # as R writes tables: the column of row names has no name
        others = ["", *others]
        table = table.assign(**{"": table[""].astype(str)})
    placed = table[[pair.x, pair.y]].to_numpy(np.float64)
    warnings = [f"{path.name}: x is the column {pair.x!r}, y the column {pair.y!r}"]
    if _points_up(placed):
        placed = placed * (1.0, -1.0)
        warnings.append(f"{path.name}: no y is positive: y points up there, and was turned over to point down")
    z = None if pair.z is None else table[pair.z].to_numpy(np.float64)
    return PlacedTable(path, placed, z, pair, table[others].copy(), warnings)


def _points_up(xy: np.ndarray) -> bool:
    """Whether y is counted downwards from 0 to negative numbers, as Giotto writes rows of pixels."""
    known = xy[np.isfinite(xy).all(axis=1)]
    return bool(len(known) and known[:, 1].max() <= 0 and known[:, 1].min() < 0 and known[:, 0].min() >= 0)


def _is_data(header: Sequence[str]) -> bool:
    """Whether a first line holds values: numbers alone, or numbers after one name."""
    numeric = [_number(word) for word in header]
    return len(header) > 1 and all(numeric[1:]) and (numeric[0] or len(header) > 2 or bool(header[0]))


def _number(word: str) -> bool:
    try:
        float(word.replace(",", "."))
    except ValueError:
        return False
    return True


def _stated_pair(path: Path, columns: Sequence[str], xy: str, *, bare: bool) -> Pair:
    names = [name.strip() for name in xy.split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise UsageError(f"--xy {xy}: not the names of two columns", hint="for instance --xy imagecol,imagerow")
    found = []
    for name in names:
        same = [c for c in columns if c == name] or [c for c in columns if c.lower() == name.lower()]
        if len(same) != 1:
            listed = ", ".join(map(repr, columns[:12]))
            raise UsageError(f"{path}: no column {name!r} for --xy", hint=f"its columns are {listed}")
        found.append(same[0])
    rest = [c for c in columns if c not in found]
    if bare:
        z = rest[-1] if len(columns) == 3 and len(rest) == 1 and rest[0] == "3" else None
        return Pair(found[0], found[1], (), z)
    axes = [split_axis(name) for name in found]
    words = tuple(word for axis in axes if axis is not None for word in axis[1])
    of_rest = [(name, split_axis(name)) for name in rest]
    depth = [name for name, axis in of_rest if axis is not None and axis[0] == "z"]
    return Pair(found[0], found[1], words, depth[0] if len(depth) == 1 else None)


def _named_pair(path: Path, columns: Sequence[str]) -> Pair:
    pairs = position_pairs(columns)
    listed = ", ".join(map(repr, columns[:12])) + (", …" if len(columns) > 12 else "")
    if not pairs:
        raise BadInputError(
            f"{path}: no two columns are named as x and y (its columns: {listed})",
            hint="name them with --xy X,Y; places on an array are no positions",
        )
    if len(pairs) > 1:
        several = " or ".join(f"{pair.x},{pair.y}" for pair in pairs)
        raise UsageError(f"{path}: x and y could be {several}", hint=f"choose with --xy {pairs[0].x},{pairs[0].y}")
    return pairs[0]


def read_counts(path: Path) -> tuple[list[str], list[str], sparse.csr_matrix]:
    """Names of rows and columns, and values (rows, columns), of a table of counts: text, parquet or Matrix Market."""
    if is_matrix_market(path):
        return _matrix_market(path)
    if not is_parquet(path):
        return read_text_matrix(path)
    columns = table_columns(path)
    key = next((name for name in columns if name.startswith("__index") or not name), columns[0])
    wide = read_wide_counts(path, [key])
    return wide.keys.iloc[:, 0].tolist(), wide.features, wide.counts


def is_matrix_market(path: Path) -> bool:
    """Whether a file, gzipped or not, is a matrix in the Matrix Market format."""
    with open_table(path) as stream:
        return stream.read(len(_MATRIX_MARKET)) == _MATRIX_MARKET


def _matrix_market(path: Path) -> tuple[list[str], list[str], sparse.csr_matrix]:
    """A matrix whose names of locations and genes are two lists beside it.

    Raises
    ------
    MissingResourceError
        If there is no list of them, or more than one.
    """
    members = {"matrix": path}
    for role, names in _LISTS.items():
        found = [p for p in sorted(path.parent.iterdir()) if names.fullmatch(p.name) and p.is_file()]
        if len(found) != 1:
            raise MissingResourceError(
                f"{path} holds numbers alone, and {len(found) or 'no'} lists of the names of its {role} lie beside it",
                hint=f"put one list beside it, {role}.tsv, with one name a line in the order of the matrix",
            )
        members[role] = found[0]
    adata, _, _ = read_matrix(path, members=members)
    return list(adata.obs_names), list(adata.var_names), sparse.csr_matrix(adata.X)


def match(counts_file: Path, placed: PlacedTable, *, in_order: bool) -> Matched:
    """Join counts and positions by the names of the locations, whichever way the counts lie.

    Parameters
    ----------
    counts_file
        Genes × locations, or locations × genes.
    in_order
        Where no column of the positions holds the names of the locations: rows are in the order of the counts.

    Raises
    ------
    UsageError
        If nothing joins the two tables but their order, and `in_order` is false, or does not determine which way.
    BadInputError
        If fewer than half of the locations have a position.
    """
    rows, columns, values = read_counts(counts_file)
    columns, values = _without_positions(columns, values, placed)
    ways = [(_best_key(names, placed.others), way, names) for way, names in ((False, rows), (True, columns))]
    ways.sort(key=lambda way: -way[0][0])
    (share, key, plain), by_column, names = ways[0]
    if share < 0.5:
        by_column, at, notes = _by_order(rows, columns, placed, counts_file, share, in_order=in_order)
        names = columns if by_column else rows
    else:
        check_unique(placed.others[key], "locations", placed.path.name)
        at = pd.Index(_plain(placed.others[key], plain)).get_indexer(_plain(names, plain))
        notes = [f"{placed.path.name}: locations are matched by the column {key!r}"] if key else []
        notes += [f"{placed.path.name}: names match but for their endings or separators"] if plain else []
    check_unique(names, "locations", counts_file.name)
    genes, counts = (rows, values.T.tocsr()) if by_column else (columns, values)
    notes.append(f"{counts_file.name}: genes are its {'rows' if by_column else 'columns'}")
    known = (at >= 0) & np.isfinite(placed.xy[np.maximum(at, 0)]).all(axis=1)
    if not known.all():
        notes.append(f"{int((~known).sum())} of {len(names)} locations have no position and were left out")
    return Matched([names[i] for i in np.flatnonzero(known)], genes, counts[np.flatnonzero(known)], at[known], notes)


def _without_positions(columns: list[str], values: sparse.csr_matrix, placed: PlacedTable):
    """The columns of counts that are not x, y and z of the positions as well."""
    kept = [i for i, name in enumerate(columns) if name not in (placed.pair.x, placed.pair.y, placed.pair.z)]
    return ([columns[i] for i in kept], values[:, kept]) if len(kept) < len(columns) else (columns, values)


def _plain(names: Sequence[str], plain: bool) -> list[str]:
    """Names without what R and Space Ranger put before and after them, where `plain`."""
    if not plain:
        return [str(name) for name in names]
    return [re.sub(r"-\d+$", "", re.sub(r"^X(?=\d)", "", str(name)).replace(".", "-")) for name in names]


def _best_key(names: Sequence[str], others: pd.DataFrame) -> tuple[float, str, bool]:
    """The column that holds most of `names`: the share of the shorter that it holds, its name, whether as `_plain`."""
    best = (0.0, "", False)
    for key in list(others.columns)[:_MOST_KEYS]:
        held = texts(others[key])
        for plain in (False, True):
            known, wanted = pd.Index(_plain(held, plain)), pd.Index(_plain(names, plain))
            if plain and not (known.is_unique and wanted.is_unique):
                continue
            shared = int(wanted.isin(known).sum()) / max(1, min(len(wanted), len(known)))
            if shared > best[0] + 1e-9:
                best = (shared, key, plain)
    return best


def _first(names: Sequence[str]) -> str:
    return repr(str(next(iter(names), ""))[:40])


def _by_order(rows, columns, placed: PlacedTable, counts_file: Path, share: float, *, in_order: bool):
    """Whether the locations are the columns, and the row of each, where names do not state it."""
    n = len(placed.xy)
    sizes = f"{counts_file.name} has {len(rows)} rows and {len(columns)} columns, {placed.path.name} {n} rows"
    named = [c for c in placed.others.columns if _NAME_COLUMNS.fullmatch(c.strip()) or share > 0]
    if named and not in_order:
        raise BadInputError(
            f"positions do not match the counts: no column of {placed.path.name} holds the names of the locations of "
            f"{counts_file.name} (it has {_first(placed.others[named[0]])}, the counts {_first(rows)} and "
            f"{_first(columns)})",
            hint="the two files come from different samples, or the names were changed: give both as they belong",
        )
    if not in_order:
        raise UsageError(
            f"{placed.path}: no column holds the names of the locations ({sizes})",
            hint="add a column of names as in the counts, or pass --in-order where both have the same order",
        )
    fits = [by_column for by_column, names in ((False, rows), (True, columns)) if len(names) == n]
    if not fits:
        raise BadInputError(f"{sizes}: they cannot be in one order", hint="take both from one sample")
    if len(fits) > 1:
        raise UsageError(
            f"{sizes}: which are the locations is not clear", hint="add a column of names to the positions"
        )
    return fits[0], np.arange(n), [f"{placed.path.name}: rows are taken in the order of the counts (--in-order)"]

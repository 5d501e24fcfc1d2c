"""Join analysis results to their enhanced file.

Values of locations become columns of obs or elements of obsm; values of genes, columns of var; tables of pairs,
elements of uns. Names are kept. Where a name is taken, the kind of the analysis result is put before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.analysis_result import same_locations
from focus_cli.core.h5ad.matrices import read_columns
from focus_cli.core.h5ad.spatial_file import SpatialFile, read_node

if TYPE_CHECKING:
    import pandas as pd

_NOT_ANALYSES = ("enhanced", "refined", "other")
_POSITIONS = (keys.SPATIAL, keys.SPATIAL_UM)


@dataclass
class Additions:
    """What analysis results add to an enhanced file.

    Attributes
    ----------
    obs, var
        The tables of the enhanced file with the columns of the analysis results.
    obsm
        Key → array or table, rows in the order of the enhanced file.
    uns
        Key → element.
    parts
        Kind of analysis result → the names under which its parts stand.
    """

    obs: pd.DataFrame
    var: pd.DataFrame
    obsm: dict[str, Any] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)


def join_analyses(file: SpatialFile, analyses: Iterable[SpatialFile]) -> Additions:
    """Collect the values that `analyses` hold of the locations and genes of `file`.

    Raises
    ------
    BadInputError
        If a file is not an analysis result, is of another sample, or lacks some location.
    """
    taken = {
        "obs": set(file.obs.columns),
        "var": set(file.var.columns),
        "obsm": set(file.handle.get("obsm", ())),
        "uns": set(file.handle.get("uns", ())),
    }
    found = Additions(file.obs.copy(), file.var.copy())
    for analysis in analyses:
        kind = analysis.kind
        if kind in _NOT_ANALYSES:
            raise BadInputError(
                f"{analysis.path} is {kind!r}, not an analysis result",
                hint="name one enhanced file, then its analysis results",
            )
        mine, theirs = (f.focus.get("sample_id") for f in (file, analysis))
        if mine and theirs and mine != theirs:
            raise BadInputError(
                f"{analysis.path} is of sample {theirs!r}, not {mine!r}", hint="name analysis results of this sample"
            )
        rows = same_locations(analysis, file)
        parts = found.parts.setdefault(kind, [])

        def named(group: str, name: str, kind: str = kind, parts: list[str] = parts) -> str:
            free = name if name not in taken[group] else f"{kind}_{name}"
            number = 2
            while free in taken[group]:
                free, number = f"{kind}_{name}_{number}", number + 1
            taken[group].add(free)
            parts.append(f"{group}/{free}")
            return free

        for column in analysis.obs.columns:
            if column not in file.obs or not _same(file.obs[column], analysis.obs[column].iloc[rows]):
                found.obs[named("obs", column)] = _plain(analysis.obs[column].iloc[rows])
        for key in sorted(analysis.handle.get("obsm", ())):
            if key not in _POSITIONS:
                found.obsm[named("obsm", key)] = _rows_of(analysis.obsm(key), rows, file.obs.index)
        _join_var(found, file, analysis, rows, named)
        for key in sorted(analysis.handle.get("uns", ())):
            if key not in (keys.UNS, keys.UNS_SPATIAL, keys.UNS_COLUMNS):
                found.uns[named("uns", key)] = analysis.uns(key)
    return found


def _join_var(found: Additions, file: SpatialFile, analysis: SpatialFile, rows: np.ndarray, named: Any) -> None:
    kind, var = analysis.kind, analysis.var
    if not len(var):
        return
    genes = file.var.index.get_indexer(var.index)
    if (genes >= 0).all() and len(var.columns) and var.index.is_unique:
        for column in var.columns:
            # "p" and "statistic" mean nothing without the kind.
            name = named("var", column if column.startswith(kind) else f"{kind}_{column}")
            found.var[name] = _plain(var[column].reindex(file.var.index))
    found.uns[named("uns", kind)] = var.rename_axis(None)
    nodes = {kind: analysis.handle.get("X")}
    nodes |= {
        f"{kind}_{layer}": analysis.handle[f"layers/{layer}"] for layer in sorted(analysis.handle.get("layers", ()))
    }
    for key, node in nodes.items():
        if node is not None and node.attrs.get("encoding-type") != "null":
            if isinstance(node, h5py.Dataset):
                values = read_columns(node, np.arange(len(var)))
            else:
                values = read_node(node, analysis.path)
            found.obsm[named("obsm", key)] = _rows_of(values, rows, file.obs.index)


def _rows_of(values: Any, rows: np.ndarray, index: pd.Index) -> Any:
    if hasattr(values, "iloc"):
        table = values.iloc[rows].copy()
        table.index = index
        return table
    if np.array_equal(rows, np.arange(values.shape[0])):
        return values
    return values[rows]


def _plain(column: pd.Series) -> Any:
    """A column that HDF5 and zarr can hold: true, false and missing become categories."""
    if column.dtype == object:
        seen = column.dropna()
        if len(seen) and all(isinstance(v, (bool, np.bool_)) for v in seen):
            return column.map({True: "yes", False: "no"}).astype("category").array
        return column.astype("string").astype("category").array
    return column.array


def _same(ours: Any, theirs: Any) -> bool:
    return bool(ours.reset_index(drop=True).equals(theirs.reset_index(drop=True)))


def path_name(text: str) -> str:
    """`text` as a name that is safe as a path."""
    safe = "".join(c if (c.isalnum() and c.isascii()) or c in "._-" else "_" for c in text).lstrip("._-")
    return safe[:80] or "sample"


def sample_name(file: SpatialFile) -> str:
    """The sample's id, or the file's name, safe as a path."""
    return path_name(file.sample)

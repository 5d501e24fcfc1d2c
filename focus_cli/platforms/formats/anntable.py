"""What the readers of AnnData tables share: an .h5ad file read in parts, its raw counts found, its features named.

Nothing but the elements that are needed is read, so that dense layers, embeddings and graphs cost nothing and a
damaged one of them does no harm. A dense matrix becomes sparse a block of rows at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem
from scipy import sparse

from focus_cli import keys
from focus_cli.errors import BadInputError
from focus_cli.platforms.checks import GENE_EXPRESSION, PROTEIN, check_unique, is_protein, whole_numbers
from focus_cli.platforms.formats.opening import damaged
from focus_cli.store.hdf5 import open_hdf5

# Where laboratories keep (x, y): scanpy and squidpy's key first.
POSITION_KEYS = (keys.SPATIAL, "X_spatial")
SYMBOL_COLUMNS = (keys.SYMBOL, "gene_symbol", "feature_name", "gene_name", "gene_short_name", "symbol")
INFERRED = "gene inferred by FOCUS"
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")
_BLOCK_VALUES = 4_000_000  # of a dense matrix that are in memory at a time
_MOST_PROTEIN_VALUES = 50_000_000


@dataclass(frozen=True)
class Matrix:
    """One matrix of the file: where it lies, its features, and how to read it as CSR."""

    where: str
    var: pd.DataFrame
    load: Callable[[], sparse.csr_matrix]


@dataclass(frozen=True)
class AnnTable:
    """The part of an AnnData that a reader needs; `matrices` in the order in which raw counts are looked for."""

    name: str
    obs: pd.DataFrame
    matrices: list[Matrix]
    obsm: dict[str, Any] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)


def open_h5ad(path: Path) -> AnnTable:
    """Read tables and positions of an .h5ad file, and leave the matrices on disk.

    Raises
    ------
    BadInputError
        If it is truncated, damaged or no AnnData.
    """
    try:
        with open_hdf5(path) as file:
            if "obs" not in file or "var" not in file:
                raise BadInputError(f"{path} is not an AnnData file (no obs or var)", hint="give an .h5ad file")
            if not all("encoding-type" in file[part].attrs for part in ("obs", "var")):
                return of_anndata(anndata.read_h5ad(path), path.name)  # written before anndata 0.7
            table = AnnTable(
                name=path.name,
                obs=_frame(file["obs"]),
                matrices=_matrices(file, path),
                obsm={k: read_elem(file["obsm"][k]) for k in (*POSITION_KEYS, keys.SPATIAL_UM) if k in file["obsm"]}
                if "obsm" in file
                else {},
                uns={k: read_elem(file["uns"][k]) for k in (keys.UNS_SPATIAL, keys.UNS) if k in file["uns"]}
                if "uns" in file
                else {},
            )
    except BadInputError:
        raise
    except Exception as error:  # anndata wraps h5py's errors in classes of its own
        raise damaged(path, error) from error
    return table


def of_anndata(source: anndata.AnnData, name: str) -> AnnTable:
    """The same of an AnnData in memory."""
    matrices = []
    if keys.COUNTS in source.layers:
        matrices.append((f"{name} layers[{keys.COUNTS!r}]", source.var, source.layers[keys.COUNTS]))
    elif source.X is not None:
        matrices.append((f"{name} X", source.var, source.X))
        if source.raw is not None:
            matrices.append((f"{name} raw.X", source.raw.var, source.raw.X))
    return AnnTable(
        name=name,
        obs=source.obs,
        matrices=[Matrix(where, var, lambda x=x: _csr(x)) for where, var, x in matrices],
        obsm=dict(source.obsm),
        uns=dict(source.uns),
    )


def _matrices(file: h5py.File, path: Path) -> list[Matrix]:
    var = _frame(file["var"])
    if keys.COUNTS in file.get("layers", {}):
        found = [(f"{path.name} layers[{keys.COUNTS!r}]", f"layers/{keys.COUNTS}", var)]
    else:
        found = [(f"{path.name} X", "X", var)] if "X" in file else []
        if "raw" in file and "X" in file["raw"]:
            found.append((f"{path.name} raw.X", "raw/X", _frame(file["raw/var"])))

    def loader(place: str) -> Callable[[], sparse.csr_matrix]:
        def load() -> sparse.csr_matrix:
            try:
                with open_hdf5(path) as again:
                    node = again[place]
                    return _csr(node if isinstance(node, h5py.Dataset) else read_elem(node))
            except BadInputError:
                raise
            except Exception as error:  # as above
                raise damaged(path, error) from error

        return load

    return [Matrix(where, table, loader(place)) for where, place, table in found]


def _frame(node: Any) -> pd.DataFrame:
    table = read_elem(node)
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"{node.name} is not a table")
    return table


def _csr(values: Any) -> sparse.csr_matrix:
    """Any matrix as CSR of real numbers, its indices checked: compiled code trusts them."""
    if sparse.issparse(values):
        values.check_format(full_check=True)
        matrix = sparse.csr_matrix(values)
    elif len(values.shape) != 2:
        raise ValueError(f"a matrix has two dimensions, not {len(values.shape)}")
    else:
        rows = max(1, _BLOCK_VALUES // max(1, values.shape[1]))
        blocks = [sparse.csr_matrix(values[i : i + rows]) for i in range(0, values.shape[0], rows)]
        matrix = sparse.vstack(blocks, format="csr") if blocks else sparse.csr_matrix(values.shape)
    if not (np.issubdtype(matrix.dtype, np.integer) or np.issubdtype(matrix.dtype, np.floating)):
        raise ValueError(f"the values are {matrix.dtype}, not numbers")
    return matrix


@dataclass(frozen=True)
class Chosen:
    """Raw counts (or intensities of proteins), and their features.

    Attributes
    ----------
    counts
        CSR, locations × features.
    genes
        Columns ``id``, ``name``, ``type``, as `assemble` asks.
    where
        The place, for messages.
    intensities
        Whether the panel holds proteins alone.
    proteins
        Locations × proteins, where the panel holds genes beside them; else None.
    warnings
        One line each.
    """

    counts: sparse.csr_matrix
    genes: pd.DataFrame
    where: str
    intensities: bool = False
    proteins: pd.DataFrame | None = None
    warnings: list[str] = field(default_factory=list)


def choose_counts(table: AnnTable) -> Chosen:
    """Find the raw counts: ``layers["counts"]``, else ``X`` if its genes hold whole numbers, else ``raw.X``.

    A panel of proteins alone needs no whole numbers. Proteins beside genes are set apart.

    Raises
    ------
    BadInputError
        If there is no matrix, or names repeat.
    """
    if not table.matrices:
        raise BadInputError(f"{table.name}: no counts: X is empty", hint="put raw counts in X or layers['counts']")
    tried = []
    for matrix in table.matrices:
        check_unique(matrix.var.index, "genes", matrix.where)
        genes = _features(matrix.var)
        apart = is_protein(genes["type"])
        only = bool(apart.any()) and not bool((genes["type"] == GENE_EXPRESSION).any())
        counts = matrix.load()
        if counts.shape != (len(table.obs), len(genes)):
            raise BadInputError(
                f"{matrix.where}: {counts.shape[0]} × {counts.shape[1]} values for {len(table.obs)} locations and "
                f"{len(genes)} features",
                hint="write the file again",
            )
        tried.append((counts, genes, matrix.where, only, apart))
        kept = counts if only or not apart.any() else counts[:, np.flatnonzero(~apart)]
        if only or whole_numbers(kept.data):
            break
    else:
        tried = tried[:1]  # none holds counts: the first is named in the refusal
    counts, genes, where, only, apart = tried[-1]
    if only:
        note = (
            f"{where}: the panel is of {int(apart.sum())} proteins: the model is one of counted molecules and does "
            "not hold for intensities; train and enhance need a panel of genes"
        )
        return Chosen(counts, genes, where, intensities=True, warnings=[note])
    if not apart.any():
        return Chosen(counts, genes, where)
    beside, notes = _set_apart(counts[:, np.flatnonzero(apart)], genes.loc[apart, "name"], table.obs.index, where)
    keep = np.flatnonzero(~apart)
    return Chosen(counts[:, keep], genes.iloc[keep], where, proteins=beside, warnings=notes)


def _features(var: pd.DataFrame) -> pd.DataFrame:
    names = var.index.astype(str)
    ensembl = np.mean([bool(_ENSEMBL.fullmatch(n)) for n in names[:1000]]) > 0.5 if len(names) else False
    symbols = pd.Series(names, index=var.index)
    if ensembl:  # an index of ids: the symbols are in a column, if anywhere
        column = next((c for c in SYMBOL_COLUMNS if c in var.columns), None)
        if column is not None:
            symbols = var[column].astype(object).where(var[column].notna(), names).astype(str)
    ids = names if ensembl or keys.GENE_ID not in var.columns else var[keys.GENE_ID].astype(str)
    types = var[keys.FEATURE_TYPE].astype(str) if keys.FEATURE_TYPE in var.columns else GENE_EXPRESSION
    table = pd.DataFrame({"id": np.asarray(ids), "name": symbols.to_numpy()})
    table["type"] = np.asarray(types) if keys.FEATURE_TYPE in var.columns else GENE_EXPRESSION
    if keys.MEASURED in var.columns:  # an enhanced file: its inferred genes are not data
        table.loc[~var[keys.MEASURED].astype(bool).to_numpy(), "type"] = INFERRED
    return table


def _set_apart(
    values: sparse.csr_matrix, names: pd.Series, obs_names: pd.Index, where: str
) -> tuple[pd.DataFrame | None, list[str]]:
    n = values.shape[1]
    if values.shape[0] * n > _MOST_PROTEIN_VALUES:
        return None, [f"{where}: {n} proteins beside the genes were left out: too many to keep"]
    # A name becomes a key of the file, where a slash would open a group.
    columns = pd.Index([str(name).replace("/", "_") for name in names])
    check_unique(columns, "proteins", where)
    frame = pd.DataFrame(values.toarray().astype(np.float32), index=obs_names.astype(str), columns=columns)
    return frame, [f"{where}: {n} proteins are kept aside in obsm[{PROTEIN!r}]; the genes alone are enhanced"]


def positions(table: AnnTable) -> np.ndarray:
    """(x, y) of the locations, float64 (n, 2), in the units of the file.

    Raises
    ------
    BadInputError
        If there are none, or they are no numbers.
    """
    key = next((k for k in POSITION_KEYS if k in table.obsm), None)
    if key is None:
        raise BadInputError(
            f"{table.name}: obsm[{keys.SPATIAL!r}] is missing: the locations have no position",
            hint="put (x, y) in full-resolution pixels there",
        )
    return _pairs(table, key)


def _pairs(table: AnnTable, key: str) -> np.ndarray:
    xy = np.asarray(table.obsm[key])
    if xy.ndim != 2 or xy.shape[1] < 2 or xy.dtype.kind not in "fiu" or len(xy) != len(table.obs):
        raise BadInputError(
            f"{table.name}: obsm[{key!r}] is not a table of (x, y)", hint="it needs two columns of numbers"
        )
    return xy[:, :2].astype(np.float64)


def library(uns: Mapping[str, Any]) -> tuple[str, dict, dict[str, float]]:
    """The one library of ``uns["spatial"]``: its name, its entry, and its scale factors that are numbers."""
    spatial = uns.get(keys.UNS_SPATIAL)
    if not isinstance(spatial, Mapping):
        return "", {}, {}
    entries = {
        k: v
        for k, v in sorted(spatial.items())
        if isinstance(v, Mapping) and isinstance(v.get("scalefactors"), Mapping)
    }
    if len(entries) != 1:  # several libraries share the file: no one scale holds for all
        return "", {}, {}
    name, entry = next(iter(entries.items()))
    factors = {k: length(v) for k, v in entry["scalefactors"].items()}
    return name, dict(entry), {k: v for k, v in factors.items() if v is not None}


def length(value: Any) -> float | None:
    """A positive number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None


def stated_mpp(table: AnnTable, xy: np.ndarray, factors: Mapping[str, float], factor: str) -> float | None:
    """µm per pixel as the file says: both kinds of positions, FOCUS's own word, or a scale factor."""
    if keys.SPATIAL_UM in table.obsm:
        pixels, lengths = np.ptp(xy, axis=0), np.ptp(_pairs(table, keys.SPATIAL_UM), axis=0)
        if pixels.max() > 0 and lengths.max() > 0:
            return length(lengths.max() / pixels.max())
    ours = table.uns.get(keys.UNS)
    if isinstance(ours, Mapping) and length(ours.get("mpp")) is not None:
        return length(ours["mpp"])
    return factors.get(factor)

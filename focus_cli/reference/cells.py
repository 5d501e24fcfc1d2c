"""The cells of an scRNA-seq file, a bounded number of them in memory: which matrix holds counts, and who is drawn."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli import keys
from focus_cli.errors import BadInputError, FocusError, MissingResourceError, UsageError
from focus_cli.genes import read_gene_names, species_of, to_species
from focus_cli.store import write_anndata

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    from anndata import AnnData

    from focus_cli.reference.matrix import MatrixOnDisk, Survey

SCHEMA_VERSION = 1
MIN_CELLS = 20
_TYPE_COLUMNS = (
    "cell_type",
    "celltype",
    "CellType",
    "cell_types",
    "annotation",
    "cell_ontology_class",
    "cluster",
)
_NAMES = 2**19  # of cells that are read at a time


def recognise_scale(values: np.ndarray) -> str:
    """``"counts"``, ``"log1p"`` or ``"linear"`` (normalised, not logged), from the first values alone.

    Log-normalised data have no value above 20 and, after expm1, rows of nearly equal sums (or at least
    values that are no whole numbers).
    """
    if np.allclose(values, np.rint(values), atol=1e-4):
        return "counts"
    return "log1p" if values.max() < 20 else "linear"


def load_cells(
    path: Path,
    cell_type_key: str | None = None,
    orthologues: str | None = None,
    *,
    max_cells: int | None = None,
    seed: int = 0,
) -> tuple[AnnData, dict[str, Any]]:
    """Read a reference file into count-like CSR values; the file itself is never changed.

    Raw counts are taken from ``layers["counts"]``, ``raw`` or X, whichever first holds whole numbers;
    log1p values are turned back by expm1. With `orthologues`, the name of a species, genes of another one become
    their one-to-one orthologues in it; the others are left out.

    The file is passed over in blocks: memory holds a block, a few bytes per cell, and the cells that are kept.

    Parameters
    ----------
    max_cells
        Cells to keep, drawn by `seed`; by default all.

    Returns
    -------
    cells
        X: CSR float32; obs: ``cell_type``; var: as in the file.
    info
        What was found: scale, counts of cells and genes, collisions of gene names.
    """
    import anndata
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise MissingResourceError(f"no such reference: {path}", hint="give an .h5ad file of scRNA-seq")
    with _opened(path) as file:
        source, matrix, var, scale, filled = _choose_matrix(file, path)
        names = read_gene_names(var)
        clean = pd.DataFrame(index=var.index.astype(str))
        clean[keys.GENE_ID], clean[keys.SYMBOL] = names.ensembl, names.symbol
        kept, crossed = None, None
        if orthologues is not None:
            kept, clean, crossed = to_species(clean, orthologues, str(path))
            names = read_gene_names(clean)
            filled = matrix.filled(np.isin(np.arange(matrix.shape[1]), kept))
        if filled.sum() < MIN_CELLS:
            raise BadInputError(
                f"{path}: {int(filled.sum())} cells with expression are too few for a reference",
                hint=f"give at least {MIN_CELLS}",
            )
        column = _choose_type_column(_columns(file["obs"]), cell_type_key)
        types = _column(file["obs"], column) if column else np.full(len(filled), "cell")
        rows = np.flatnonzero(filled)
        if max_cells is not None and len(rows) > max_cells:
            rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), max_cells, replace=False))]
        x = matrix.take(rows)
        obs_names = _index(file["obs"], rows)
    if scale == "log1p":
        x.data = np.expm1(x.data)
    x = x if kept is None else x[:, kept]
    cells = anndata.AnnData(x, obs=pd.DataFrame({"cell_type": types[rows]}, index=obs_names), var=clean)
    info = {
        "schema_version": SCHEMA_VERSION,
        "source": source,
        "scale": scale,
        "n_cells": int(filled.sum()),
        "n_genes": int(cells.n_vars),
        "n_empty_cells_dropped": int((~filled).sum()),
        "cell_type_key": column,
        "cell_types": {str(k): int(v) for k, v in pd.Series(types[filled]).value_counts().sort_index().items()},
        "gene_collisions": names.collisions,
        "species": species_of(names),
    }
    if crossed is not None:
        info["orthologues"] = crossed
    return cells, info


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file, or a refusal of what is no .h5ad or is damaged."""
    import anndata
    import h5py

    try:
        with tempfile.TemporaryDirectory(prefix="focus-") as scratch:
            with h5py.File(path, "r") as file:
                old = "encoding-type" not in file["obs"].attrs
            if old:  # from before anndata 0.7, and no atlas: anndata itself reads it
                write_anndata(anndata.read_h5ad(path), path := Path(scratch) / "cells.h5ad")
            with h5py.File(path, "r") as file:
                yield file
    except FocusError:
        raise
    except (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        raise BadInputError(f"cannot read {path}: {error}".splitlines()[0], hint="is it a whole .h5ad file?") from error


def _choose_matrix(file: h5py.File, path: Path) -> tuple[str, MatrixOnDisk, pd.DataFrame, str, np.ndarray]:
    """Name of the matrix, the matrix, its genes, its scale, and which cells are filled."""
    from anndata.io import read_elem

    from focus_cli.reference.matrix import MatrixOnDisk

    places = (("layers['counts']", f"layers/{keys.COUNTS}", "var"), ("raw", "raw/X", "raw/var"), ("X", "X", "var"))
    candidates = [(name, file[place], genes) for name, place, genes in places if _holds_matrix(file, place)]
    if not candidates:
        raise BadInputError(f"{path}: there is no expression matrix", hint="X, raw or layers['counts'] must hold one")
    for name, node, genes in candidates[:-1]:
        matrix = MatrixOnDisk(node)
        if recognise_scale(matrix.head()) != "counts":
            continue
        found = matrix.survey()
        if found.n_values and found.finite and found.least >= 0:
            return name, matrix, read_elem(file[genes]), "counts", found.filled
    name, node, genes = candidates[-1]  # counts, or the matrix that analyses use
    matrix = MatrixOnDisk(node)
    found = matrix.survey()
    _check_values(found, path)
    return name, matrix, read_elem(file[genes]), recognise_scale(matrix.head()), found.filled


def _holds_matrix(file: h5py.File, place: str) -> bool:
    return place in file and file[place].attrs.get("encoding-type") != "null"


def _check_values(found: Survey, path: Path) -> None:
    if not found.finite:
        raise BadInputError(f"{path}: the reference holds NaN or infinite values", hint="give raw counts")
    if found.least < 0:
        raise BadInputError(
            f"{path}: the reference holds negative values; it looks scaled",
            hint="give raw counts or log1p values",
        )
    if not found.n_values:
        raise BadInputError(f"{path}: the reference is empty", hint="give raw counts")


def _choose_type_column(columns: list[str], key: str | None) -> str | None:
    if key is not None:
        if key not in columns:
            close = difflib.get_close_matches(key, columns, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"columns: {', '.join(columns)}"
            raise UsageError(f"--cell-type {key!r} is no column of the reference's obs", hint=hint)
        return key
    return next((column for column in _TYPE_COLUMNS if column in columns), None)


def _columns(obs: h5py.Group) -> list[str]:
    return [str(name) for name in obs.attrs["column-order"]]


def _column(obs: h5py.Group, name: str) -> np.ndarray:
    """A column as text, one entry per cell."""
    import pandas as pd
    from anndata.io import read_elem

    # Files of anndata 0.7 keep the categories of all columns apart.
    values = read_elem(obs)[name] if "__categories" in obs else pd.Series(read_elem(obs[name]))
    return values.astype(str).to_numpy()


def _index(obs: h5py.Group, rows: np.ndarray) -> np.ndarray:
    """Names of some cells."""
    names = obs[obs.attrs["_index"]]
    read = names.asstr() if names.dtype.kind in "OS" else names
    parts = []
    for start in range(0, len(names), _NAMES):
        inside = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + _NAMES)]
        if len(inside):
            parts.append(np.asarray(read[start : start + _NAMES])[inside - start])
    return np.concatenate(parts).astype(str).astype(object)

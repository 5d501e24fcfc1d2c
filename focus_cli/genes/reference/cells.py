"""The cells of an scRNA-seq file, a bounded number of them in memory: which matrix holds counts, and who is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.core.scales import undo_log
from focus_cli.core.storage import scratch_folder, write_anndata
from focus_cli.core.storage.hdf5 import open_hdf5, read_anndata
from focus_cli.core.storage.regular import require_regular
from focus_cli.genes import GeneNames, read_gene_names, share_of_genes, species_of, to_species, unique_names
from focus_cli.genes.reference.source import choose_source
from focus_cli.genes.reference.types import CellTypes, choose_types

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    from anndata import AnnData

SCHEMA_VERSION = 1
MIN_CELLS = 20
_LOOKED_AT = 200  # names by which cells are distinguished from genes
_NAMES = 2**19  # of cells that are read at a time


def load_cells(
    path: Path,
    cell_type_key: str | None = None,
    orthologues: str | None = None,
    *,
    max_cells: int | None = None,
    seed: int = 0,
) -> tuple[AnnData, dict[str, Any]]:
    """Read a reference file into count-like CSR values; the file itself is never changed.

    Raw counts are taken from ``layers["counts"]``, ``raw`` or X, whichever first holds whole numbers; of log1p values
    the logarithm is undone with the base that the file states or that its cells show. Cells without a type, and all
    but the first row of a gene, are left out. With `orthologues`, the name of a species, genes of another one become
    their one-to-one orthologues in it; the others are left out.

    The file is passed over in blocks: memory holds a block, a few bytes per cell, and the cells that are kept.

    Parameters
    ----------
    max_cells
        Cells to keep, drawn by `seed`; by default all.

    Returns
    -------
    cells
        X: CSR float32; obs: ``cell_type``; var: names as in the file, unique; ``gene_ids`` and ``gene_symbols``.
    info
        What was found: scale, counts of cells and genes, collisions of gene names.
    """
    import anndata
    import pandas as pd

    path = Path(path)
    require_h5ad(path)
    with _opened(path) as file:
        source = choose_source(file, path)
        names = read_gene_names(source.var)
        _require_genes(source.var, _index(file["obs"], np.arange(min(_LOOKED_AT, source.matrix.shape[0]))), path)
        _require_names(names, source.var, path)
        clean = pd.DataFrame({keys.GENE_ID: names.ensembl, keys.SYMBOL: names.symbol}, index=_labels(names, source.var))
        kept, crossed = _once(names, clean.index), None
        if orthologues is not None:
            kept, clean, crossed = to_species(clean, orthologues, str(path))
            names = read_gene_names(clean)
        else:
            clean = clean.iloc[kept]
        of_genes = np.isin(np.arange(source.matrix.shape[1]), kept)
        filled = source.filled if of_genes.all() else source.matrix.filled(of_genes)
        types = choose_types(
            _columns(file["obs"]), lambda name: _column(file["obs"], name), len(filled), cell_type_key, str(path)
        )
        usable = filled & (types.labels != "")
        _require_cells(filled, usable, types, path)
        rows = np.flatnonzero(usable)
        if max_cells is not None and len(rows) > max_cells:
            rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), max_cells, replace=False))]
        x = source.matrix.take(rows)
        obs_names = _index(file["obs"], rows)
    x.data = undo_log(x.data, source.scale.base).astype(np.float32)
    if source.scale.kind == "counts":
        x.data = np.rint(x.data)  # errors of rounding
    clean.index = unique_names(clean.index, clean[keys.GENE_ID])
    obs = pd.DataFrame({keys.CELL_TYPE: types.labels[rows]}, index=unique_names(obs_names))
    cells = anndata.AnnData(x[:, kept], obs=obs, var=clean)
    info = {
        "schema_version": SCHEMA_VERSION,
        "source": source.name,
        "passed_over": list(source.passed_over),
        "scale": source.scale.kind,
        "log_base": source.scale.base,
        "scale_reason": source.scale.reason,
        "n_cells": int(usable.sum()),
        "n_genes": int(cells.n_vars),
        "n_empty_cells_dropped": int((~filled).sum()),
        "n_cells_without_type": int((types.labels == "").sum()),
        "cell_type_key": types.column,
        "cell_types": {str(k): int(v) for k, v in pd.Series(types.labels[usable]).value_counts().sort_index().items()},
        "cell_types_stated": types.stated,
        "gene_collisions": names.collisions,
        "species": species_of(names),
    }
    if crossed is not None:
        info["orthologues"] = crossed
    return cells, info


def _require_genes(var: pd.DataFrame, cells: np.ndarray, path: Path) -> None:
    """Refuse a file of genes × cells: hardly any of the first names of `var` is a gene, and most of `cells` are.

    Raises
    ------
    BadInputError
        If the table is transposed.
    """
    if share_of_genes(var.index[:_LOOKED_AT]) > 0.1:
        return
    if share_of_genes(cells) > 0.5:
        raise BadInputError(
            f"{path}: the table is transposed: obs holds genes ({cells[0]!r}), var cells ({var.index[0]!r})",
            hint="write adata.T (cells × genes) instead",
        )


def require_h5ad(path: Path) -> None:
    """Refuse what is no .h5ad by its name or kind, with the way to one.

    Raises
    ------
    MissingResourceError
        If it is not there.
    BadInputError
        If it is a reference in another form.
    """
    name = path.name.lower()
    if path.is_dir() and (path / ".zattrs").exists() | (path / "zarr.json").exists():
        raise BadInputError(
            f"{path} is a Zarr store, not an .h5ad file",
            hint=f"anndata.read_zarr({str(path)!r}).write_h5ad('reference.h5ad')",
        )
    if path.is_dir() and any((path / f"matrix.mtx{end}").exists() for end in ("", ".gz")):
        raise BadInputError(
            f"{path} is a 10x matrix folder, not an .h5ad file",
            hint="scanpy.read_10x_mtx(FOLDER), add a column of cell types to obs, write_h5ad('reference.h5ad')",
        )
    if path.is_dir():
        raise MissingResourceError(
            f"{path} is no reference: it holds no {keys.REFERENCE_JSON}",
            hint="give a folder made by focus reference, or an .h5ad file of scRNA-seq",
        )
    if not path.exists():
        raise MissingResourceError(f"no such reference: {path}", hint="give an .h5ad file of scRNA-seq")
    require_regular(path)
    for ending, way in _OTHER_KINDS.items():
        if name.endswith(ending):
            raise BadInputError(f"{path} is no .h5ad file", hint=way)


_OTHER_KINDS = {
    ".h5ad.gz": "unpack it first: gunzip",
    ".loom": "anndata.io.read_loom(FILE).write_h5ad('reference.h5ad')",
    ".rds": "write it from R as .h5ad, for instance with zellkonverter::writeH5AD or anndataR::write_h5ad",
    ".h5seurat": "write it from R as .h5ad, for instance with anndataR::write_h5ad",
}


def _require_names(names: GeneNames, var: pd.DataFrame, path: Path) -> None:
    """Refuse genes that have numbers for names."""
    if len(names.symbol) and not names.ensembl.any() and not names.symbol.any():
        first = ", ".join(var.index.astype(str)[:3])
        raise BadInputError(
            f"{path}: genes are named {first}, …: numbers, and no column of var holds gene symbols or Ensembl ids",
            hint=f"put symbols into var_names or var[{keys.SYMBOL!r}], Ensembl ids into var[{keys.GENE_ID!r}]",
        )


def _require_cells(filled: np.ndarray, usable: np.ndarray, types: CellTypes, path: Path) -> None:
    if usable.sum() >= MIN_CELLS:
        return
    n, which = int(filled.sum()), "cells with expression"
    if n >= MIN_CELLS:
        n, which = int(usable.sum()), f"cells with expression and a type in obs[{types.column!r}]"
    hint = f"give at least {MIN_CELLS}" + ("" if n == filled.sum() else ", or another --cell-type")
    raise BadInputError(f"{path}: {n} {which} are too few for a reference", hint=hint)


def _labels(names: GeneNames, var: pd.DataFrame) -> pd.Index:
    """Names of the genes as the file has them; their symbols or ids where it has numbers."""
    import pandas as pd

    index = np.asarray(var.index.astype(str), dtype=object)
    known = np.where(names.symbol != "", names.symbol, names.ensembl).astype(object)
    numbered = np.array([name.strip().isdigit() for name in index], dtype=bool)
    return pd.Index(np.where((numbered | (index == "nan")) & (known != ""), known, index), dtype=object)


def _once(names: GeneNames, labels: pd.Index) -> np.ndarray:
    """Rows of genes, each gene once: of several rows with one id, or without an id and with one symbol, the first."""
    import pandas as pd

    named = pd.Series(np.where(names.ensembl != "", names.ensembl, names.symbol))
    named = named.where(named != "", pd.Series(labels.astype(str)))
    return np.flatnonzero(~named.duplicated().to_numpy())


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file, or a refusal of what is no .h5ad or is damaged."""
    try:
        with scratch_folder(names={"cells.h5ad": path}) as scratch:
            with open_hdf5(path) as file:
                if "obs" not in file and "matrix" in file:
                    raise BadInputError(
                        f"{path} is a 10x matrix file, not an .h5ad file",
                        hint="scanpy.read_10x_h5(FILE), add a column of cell types, write_h5ad('reference.h5ad')",
                    )
                ours = file.get(f"uns/{keys.UNS}")
                if hasattr(ours, "keys") and "provenance" in ours:
                    raise BadInputError(
                        f"{path} is a spatial file that FOCUS wrote, not single-cell data: uns[{keys.UNS!r}] is there",
                        hint="give the .h5ad file of scRNA-seq; values of an enhanced file rest on a reference already",
                    )
                old = "encoding-type" not in file["obs"].attrs
            if old:  # from before anndata 0.7, and no atlas: anndata itself reads it
                write_anndata(read_anndata(path), path := scratch / "cells.h5ad")
            with open_hdf5(path) as file:
                yield file
    except FocusError:
        raise
    except (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        raise BadInputError(f"cannot read {path}: {error}".splitlines()[0], hint="is it a whole .h5ad file?") from error


def _columns(obs: h5py.Group) -> list[str]:
    return [str(name) for name in obs.attrs["column-order"]]


def _column(obs: h5py.Group, name: str) -> pd.Series:
    """A column, one entry per cell."""
    import pandas as pd
    from anndata.io import read_elem

    # Files of anndata 0.7 keep the categories of all columns apart.
    return read_elem(obs)[name] if "__categories" in obs else pd.Series(read_elem(obs[name]))


def _index(obs: h5py.Group, rows: np.ndarray) -> np.ndarray:
    """Names of some cells."""
    from anndata.io import read_elem

    names = obs[obs.attrs["_index"]]
    if not hasattr(names, "dtype"):  # pandas' nullable text, of which anndata makes a group
        return np.asarray(read_elem(names), dtype=object)[rows].astype(str).astype(object)
    read = names.asstr() if names.dtype.kind in "OS" else names
    parts = []
    for start in range(0, len(names), _NAMES):
        inside = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + _NAMES)]
        if len(inside):
            parts.append(np.asarray(read[start : start + _NAMES])[inside - start])
    return np.concatenate(parts).astype(str).astype(object)

"""The stage behind ``focus reference``: one scRNA-seq file → cells, cell states, and what is in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli import keys, provenance
from focus_cli.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.genes import gene_report, gene_table_inputs, read_gene_names, report_warnings, species_of, to_species
from focus_cli.progress import say
from focus_cli.store import atomic_directory, refuse_existing, require_files

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy import sparse

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


@dataclass(frozen=True)
class Reference:
    """A prepared reference on disk; its tables are read when asked for."""

    path: Path
    info: dict[str, Any]

    @cached_property
    def cells(self) -> AnnData:
        """Cells × genes: X count-like, CSR float32; ``obs["cell_type"]``."""
        import anndata

        return anndata.read_h5ad(self.path / keys.CELLS_H5AD)

    @cached_property
    def prototypes(self) -> AnnData:
        """Cell states × genes: X mean proportions float32; ``obs["cell_type"]``, ``n_cells``, ``purity``."""
        import anndata

        return anndata.read_h5ad(self.path / keys.PROTOTYPES_H5AD)


def is_reference(path: Path) -> bool:
    """Whether `path` is a folder written by ``focus reference``."""
    return (Path(path) / keys.REFERENCE_JSON).is_file()


def open_reference(path: Path) -> Reference:
    """Open a prepared reference.

    Raises
    ------
    MissingResourceError
        If the folder or one of its files is not there.
    BadInputError
        If its description cannot be read.
    """
    path = Path(path)
    require_files(path, (keys.REFERENCE_JSON, keys.CELLS_H5AD, keys.PROTOTYPES_H5AD), "reference", "reference")
    try:
        info = json.loads((path / keys.REFERENCE_JSON).read_text())
        version = info["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path / keys.REFERENCE_JSON} is damaged", hint="run focus reference again") from error
    if version != SCHEMA_VERSION:
        raise BadInputError(f"{path} has schema version {version}", hint="run focus reference again")
    return Reference(path, info)


def recognise_scale(x: sparse.csr_matrix) -> str:
    """``"counts"``, ``"log1p"`` or ``"linear"`` (normalised, not logged), from the values alone.

    Log-normalised data have no value above 20 and, after expm1, rows of nearly equal sums (or at least
    values that are no whole numbers).
    """
    data = x.data[:2_000_000]
    if np.allclose(data, np.rint(data), atol=1e-4):
        return "counts"
    return "log1p" if data.max() < 20 else "linear"


def _check_values(x: sparse.csr_matrix, path: Path) -> None:
    if not np.isfinite(x.data).all():
        raise BadInputError(f"{path}: the reference holds NaN or infinite values", hint="give raw counts")
    if x.nnz and x.data.min() < 0:
        raise BadInputError(
            f"{path}: the reference holds negative values; it looks scaled",
            hint="give raw counts or log1p values",
        )
    if x.nnz == 0:
        raise BadInputError(f"{path}: the reference is empty", hint="give raw counts")


def _choose_type_column(obs, key: str | None) -> str | None:
    if key is not None:
        if key not in obs:
            import difflib

            close = difflib.get_close_matches(key, list(obs.columns), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"columns: {', '.join(map(str, obs.columns))}"
            raise UsageError(f"--cell-type {key!r} is no column of the reference's obs", hint=hint)
        return key
    return next((column for column in _TYPE_COLUMNS if column in obs), None)


def load_cells(
    path: Path, cell_type_key: str | None = None, orthologues: str | None = None
) -> tuple[AnnData, dict[str, Any]]:
    """Read a reference file into count-like CSR values; the file itself is never changed.

    Raw counts are taken from ``layers["counts"]``, ``raw`` or X, whichever first holds whole numbers;
    log1p values are turned back by expm1. With `orthologues`, the name of a species, genes of another one become
    their one-to-one orthologues in it; the others are left out.

    Returns
    -------
    cells
        X: CSR float32; obs: ``cell_type``; var: as in the file.
    info
        What was found: scale, counts of cells and genes, collisions of gene names.
    """
    import anndata
    import pandas as pd
    from scipy import sparse

    path = Path(path)
    if not path.is_file():
        raise MissingResourceError(f"no such reference: {path}", hint="give an .h5ad file of scRNA-seq")
    try:
        raw = anndata.read_h5ad(path)
    except Exception as error:  # anndata and h5py raise many kinds for a damaged file
        raise BadInputError(f"cannot read {path}: {error}".splitlines()[0], hint="is it a whole .h5ad file?") from error
    candidates: list[tuple[str, Any, pd.DataFrame]] = []
    if keys.COUNTS in raw.layers:
        candidates.append(("layers['counts']", raw.layers[keys.COUNTS], raw.var))
    if raw.raw is not None:
        candidates.append(("raw", raw.raw.X, raw.raw.var))
    if raw.X is not None:
        candidates.append(("X", raw.X, raw.var))
    if not candidates:
        raise BadInputError(f"{path}: there is no expression matrix", hint="X, raw or layers['counts'] must hold one")
    for source, x, var in candidates:  # noqa: B007
        x = sparse.csr_matrix(x, dtype=np.float32)
        if x.nnz and np.isfinite(x.data).all() and x.data.min() >= 0 and recognise_scale(x) == "counts":
            break
    else:  # no counts anywhere: the matrix that analyses use
        source, x, var = candidates[-1]
        x = sparse.csr_matrix(x, dtype=np.float32)
        _check_values(x, path)
    scale = recognise_scale(x)
    if scale == "log1p":
        x = x.copy()
        x.data = np.expm1(x.data)
    names = read_gene_names(var)
    clean = pd.DataFrame(index=var.index.astype(str))
    clean[keys.GENE_ID], clean[keys.SYMBOL] = names.ensembl, names.symbol
    crossed = None
    if orthologues is not None:
        kept, clean, crossed = to_species(clean, orthologues, str(path))
        x = x[:, kept]
        names = read_gene_names(clean)
    filled = np.asarray(x.sum(axis=1)).ravel() > 0
    if filled.sum() < MIN_CELLS:
        raise BadInputError(
            f"{path}: {int(filled.sum())} cells with expression are too few for a reference",
            hint=f"give at least {MIN_CELLS}",
        )
    column = _choose_type_column(raw.obs, cell_type_key)
    types = raw.obs[column].astype(str).to_numpy() if column else np.full(raw.n_obs, "cell")
    obs = pd.DataFrame({"cell_type": types}, index=raw.obs_names.astype(str))[filled]
    cells = anndata.AnnData(x[filled], obs=obs, var=clean)
    info = {
        "schema_version": SCHEMA_VERSION,
        "source": source,
        "scale": scale,
        "n_cells": int(cells.n_obs),
        "n_genes": int(cells.n_vars),
        "n_empty_cells_dropped": int((~filled).sum()),
        "cell_type_key": column,
        "cell_types": {str(k): int(v) for k, v in obs["cell_type"].value_counts().sort_index().items()},
        "gene_collisions": names.collisions,
        "species": species_of(names),
    }
    if crossed is not None:
        info["orthologues"] = crossed
    return cells, info


def build_reference(
    path: Path,
    out: Path,
    cell_type_key: str | None = None,
    *,
    n_states: int = 64,
    max_cells: int = 20_000,
    seed: int = 0,
    orthologues: str | None = None,
    overwrite: bool = False,
) -> Reference:
    """Prepare a reference for training and enhancement.

    Parameters
    ----------
    path
        scRNA-seq as .h5ad; raw counts or log1p-normalised values.
    out
        Folder to make: ``reference.json``, ``cells.h5ad``, ``prototypes.h5ad``.
    cell_type_key
        Column of obs with cell types; guessed from common names if not given.
    n_states
        Cell states to make.
    max_cells
        Cells kept (drawn by `seed`), which bounds memory and disk.
    orthologues
        Species to take the reference to, "human" or "mouse", by one-to-one orthologues.

    Raises
    ------
    BadInputError, MissingResourceError, UsageError, OutputExistsError
    """
    from focus_cli.reference.prototypes import build_prototypes

    refuse_existing(out, overwrite)
    cells, info = load_cells(path, cell_type_key, orthologues)
    if crossed := info.get("orthologues"):
        say(
            f"reference: {crossed['n_orthologues']:,} of {crossed['n_genes']:,} {crossed['from']} genes "
            f"as their one-to-one orthologues in {crossed['to']}"
        )
    for warning in report_warnings(gene_report(cells.var, species=info["species"])):
        say(f"reference: {warning}")
    if info["scale"] != "counts":
        say(f"reference: {info['source']} holds {info['scale']} values, not counts; using them as relative expression")
    if info["gene_collisions"]:
        say(f"reference: {len(info['gene_collisions'])} gene names occur more than once; the first row of each is used")
    if cells.n_obs > max_cells:
        kept = np.sort(np.random.default_rng(seed).choice(cells.n_obs, max_cells, replace=False))
        cells = cells[kept].copy()
        say(f"reference: {max_cells} of {info['n_cells']} cells drawn")
    prototypes = build_prototypes(cells, n_states, seed)
    info |= {
        "n_cells_kept": int(cells.n_obs),
        "n_states": int(prototypes.n_obs),
        "provenance": provenance.describe_run(
            "reference",
            {"cell_type_key": cell_type_key, "n_states": n_states, "max_cells": max_cells}
            | ({"orthologues": orthologues} if orthologues else {}),
            {"reference": path} | gene_table_inputs(),
            seed,
        ),
    }
    with atomic_directory(out, overwrite) as temporary:
        cells.write_h5ad(temporary / keys.CELLS_H5AD, compression="gzip")
        prototypes.write_h5ad(temporary / keys.PROTOTYPES_H5AD, compression="gzip")
        (temporary / keys.REFERENCE_JSON).write_text(json.dumps(info, indent=2, sort_keys=True) + "\n")
    say(f"reference: {cells.n_obs} cells, {cells.n_vars} genes, {prototypes.n_obs} cell states → {out}")
    return open_reference(out)

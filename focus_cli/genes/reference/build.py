"""The stage behind ``focus reference``: one scRNA-seq file → cells, cell states, and what is in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field

from focus_cli.core import keys, provenance
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import print_message
from focus_cli.core.storage import atomic_directory, check_output, require_files, write_anndata
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.kinds import REFERENCE
from focus_cli.core.storage.schema import Count, Document, Text, validated
from focus_cli.genes import (
    SPECIES,
    gene_report,
    gene_table_inputs,
    match_genes,
    report_warnings,
    to_species_of,
)
from focus_cli.genes.reference.cells import SCHEMA_VERSION, load_cells

if TYPE_CHECKING:
    from anndata import AnnData

_AGAIN = "run focus reference again"


@dataclass(frozen=True)
class Reference:
    """A prepared reference on disk; its tables are read when requested."""

    path: Path
    info: dict[str, Any]

    @cached_property
    def cells(self) -> AnnData:
        """Cells × genes: X count-like, CSR float32; ``obs["cell_type"]``.

        Raises
        ------
        BadInputError
            If the file is damaged or is not what FOCUS writes.
        """
        return _read(self.path / keys.CELLS_H5AD, (keys.CELL_TYPE,))

    @cached_property
    def prototypes(self) -> AnnData:
        """Cell states × genes: X mean proportions float32; ``obs["cell_type"]``, ``n_cells``, ``purity``.

        Raises
        ------
        BadInputError
            If the file is damaged or is not what FOCUS writes.
        """
        return _read(self.path / keys.PROTOTYPES_H5AD, (keys.CELL_TYPE, "n_cells", "purity"))


def reference_for(reference: Reference, genes: pd.DataFrame) -> Reference:
    """A reference under the names of the species of a sample, by one-to-one orthologues; see `to_species_of`.

    Parameters
    ----------
    genes
        ``var`` of the sample. If it is of the same species, or one is not known, the reference itself is returned.

    Raises
    ------
    BadInputError
        If there are no orthologues between the two species, or they are not used.
    """
    across = to_species_of(genes, reference.cells.var, "the sample", "the reference")
    if across is None:
        return reference
    kept, var, facts = across
    own_id, own_name = (reference.cells.var.index[kept], reference.prototypes.var.index)
    place = own_name.get_indexer(own_id)
    renamed = replace(reference, info={**reference.info, "species": facts["to"], "orthologues": facts})
    renamed.__dict__["cells"] = _renamed(reference.cells, kept, var)
    renamed.__dict__["prototypes"] = _renamed(reference.prototypes, place[place >= 0], var[place >= 0])
    shared = int((match_genes(genes, var) >= 0).sum())
    print_message(
        f"orthologues: the reference is {facts['from']} and the sample is {facts['to']}; {facts['n_orthologues']:,} of "
        f"{facts['n_genes']:,} of its genes have a one-to-one orthologue, {shared:,} of them are in the sample"
    )
    return renamed


def _renamed(table: AnnData, columns: np.ndarray, var: pd.DataFrame) -> AnnData:
    from anndata import AnnData

    return AnnData(table.X[:, columns], obs=table.obs, var=var)


class ReferenceDocument(Document):
    """``reference.json``. Keys of later versions are kept."""

    model_config = ConfigDict(extra="allow")

    schema_version: int
    source: Text
    scale: Text
    n_cells: Count
    n_genes: Count
    cell_type_key: str | None
    cell_types: dict[str, Count]
    species: str | None = None
    n_cells_kept: Count
    n_states: Count
    provenance: dict[str, Any] = Field(default_factory=dict)


def _read(path: Path, columns: Sequence[str]) -> AnnData:
    """A table of a reference, checked."""
    from scipy import sparse

    from focus_cli.core.storage.hdf5 import read_anndata

    adata = read_anndata(path, _AGAIN)
    if missing := [column for column in columns if column not in adata.obs]:
        raise BadInputError(f"{path}: obs[{missing[0]!r}] is missing", hint=_AGAIN)
    if adata.X is None or min(adata.shape) == 0:
        raise BadInputError(f"{path} holds no expression", hint=_AGAIN)
    values = adata.X.data if sparse.issparse(adata.X) else np.asarray(adata.X)
    if values.dtype.kind not in "iufb" or not np.isfinite(values).all() or (values < 0).any():
        raise BadInputError(f"{path}: X holds values that are negative or not finite", hint=_AGAIN)
    if not (adata.obs_names.is_unique and adata.var_names.is_unique):
        raise BadInputError(f"{path}: a cell or a gene has the name of another", hint=_AGAIN)
    for column in columns[1:]:
        numbers = adata.obs[column]
        if numbers.dtype.kind not in "iuf" or not np.isfinite(numbers.to_numpy(np.float64)).all():
            raise BadInputError(f"{path}: obs[{column!r}] holds no finite numbers", hint=_AGAIN)
    return adata


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
    described = path / keys.REFERENCE_JSON
    info = read_json_object(described)
    version = info.get("schema_version")
    if isinstance(version, int) and version != SCHEMA_VERSION:
        raise BadInputError(f"{path} has schema version {version}", hint=_AGAIN)
    validated(ReferenceDocument, info, described, _AGAIN)
    return Reference(path, info)


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
    kept: bool = True,
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
        Cells kept (drawn by `seed`), which bounds memory and disk: the file is read in blocks, whatever its size.
    orthologues
        Species to take the reference to, "human" or "mouse", by one-to-one orthologues.
    kept
        Whether `out` stays; the last line then names it, and `path` otherwise.

    Raises
    ------
    BadInputError, MissingResourceError, UsageError, OutputExistsError
    """
    from focus_cli.genes.reference.prototypes import build_prototypes

    check_output(out, REFERENCE, inputs=[path], overwrite=overwrite)
    cells, info = load_cells(path, cell_type_key, orthologues, max_cells=max_cells, seed=seed)
    for line in _statements(cells, info, max_cells):
        print_message(f"reference: {line}")
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
    with atomic_directory(out, overwrite, kind=REFERENCE) as temporary:
        write_anndata(cells, temporary / keys.CELLS_H5AD)
        write_anndata(prototypes, temporary / keys.PROTOTYPES_H5AD)
        (temporary / keys.REFERENCE_JSON).write_text(json.dumps(info, indent=2, sort_keys=True) + "\n")
    to = f"→ {out}" if kept else f"of {path}"
    print_message(f"reference: {cells.n_obs} cells, {cells.n_vars} genes, {prototypes.n_obs} cell states {to}")
    return open_reference(out)


def _statements(cells: AnnData, info: dict[str, Any], max_cells: int) -> list[str]:
    """What was found in the file and what was decided, one line each."""
    named = "" if info["cell_type_key"] else "; focus reference --cell-type COLUMN names one"
    lines = [info["cell_types_stated"] + named]
    if len(info["cell_types"]) == 1 and info["cell_type_key"]:
        lines.append("all cells are of one type: focus celltypes needs two")
    lines += [f"{reason}; {info['source']} is used" for reason in info["passed_over"]]
    if info["scale"] != "counts":
        how = f" ({info['scale_reason']})" if info["scale_reason"] else ""
        lines.append(
            f"{info['source']} holds {info['scale']} values{how}, not counts; they are used as relative expression"
        )
    elif cells.n_obs and float(cells.X.data.max()) <= 1:
        lines.append(f"{info['source']} holds zeros and ones alone: were the counts reduced to presence and absence?")
    report = gene_report(cells.var, species=info["species"])
    if crossed := info.get("orthologues"):
        lines.append(
            f"{crossed['n_orthologues']:,} of {crossed['n_genes']:,} {crossed['from']} genes "
            f"as their one-to-one orthologues in {crossed['to']}"
        )
    of = f" of {report['species']}" if report["species"] in SPECIES else ""
    if not report["species"] or of:
        lines.append(f"{report['n_known']:,} of {report['n_genes']:,} genes are recognised{of}")
    lines += report_warnings(report)
    if repeated := info["gene_collisions"]:
        names = ", ".join(repeated[:3]) + (", …" if len(repeated) > 3 else "")
        which = "gene name occurs" if len(repeated) == 1 else "gene names occur"
        lines.append(f"{len(repeated):,} {which} more than once ({names}); the first row of each is used")
    if info["n_cells"] > max_cells:
        lines.append(f"{max_cells:,} of {info['n_cells']:,} cells drawn")
    return lines

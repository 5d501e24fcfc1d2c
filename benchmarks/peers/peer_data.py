"""What every peer method reads and writes: samples, references, gene lists, and the scale of an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

TARGET_SUM = 1e4


class PeerError(Exception):
    """Something that the caller can mend; its text is one line."""


@dataclass(frozen=True)
class Estimate:
    """What a method says.

    Attributes
    ----------
    genes
        Names as they were asked for, G of them.
    values
        log1p of counts per 10,000, float32 (n, G).
    settings
        How the method was run: name → text, number or truth value.
    """

    genes: list[str]
    values: np.ndarray
    settings: dict[str, Any]


@dataclass(frozen=True)
class Paired:
    """Locations and cells whose genes carry the same names.

    Attributes
    ----------
    spots
        Raw counts of the genes that both hold, CSR.
    cells
        Those genes in the same order, then the scored genes that the sample lacks, CSR as in the reference.
    genes
        Scored genes that the reference holds, G of them.
    columns
        Their columns in `cells`, (G,).
    """

    spots: anndata.AnnData
    cells: anndata.AnnData
    genes: list[str]
    columns: np.ndarray = field(repr=False)


def _read_h5ad(path: Path) -> anndata.AnnData:
    if not path.is_file():
        raise PeerError(f"no such file: {path}")
    try:
        table = anndata.read_h5ad(path)
    except Exception as error:  # anndata and h5py raise many kinds for a damaged file
        raise PeerError(f"cannot read {path}: {error}".splitlines()[0]) from error
    if table.X is None or 0 in table.shape:
        raise PeerError(f"{path} holds no values")
    table.X = sparse.csr_matrix(table.X, dtype=np.float32)
    if not np.isfinite(table.X.data).all() or (table.X.data < 0).any():
        raise PeerError(f"{path} holds negative or infinite values")
    table.X.eliminate_zeros()
    return table


def read_sample(path: Path) -> anndata.AnnData:
    """Read the raw counts of a FOCUS sample folder, CSR float32.

    Raises
    ------
    PeerError
        If the folder is not a sample, or its values are not whole numbers.
    """
    if not path.is_dir():
        raise PeerError(f"no such sample folder: {path}")
    sample = _read_h5ad(path / "counts.h5ad")
    if not np.array_equal(sample.X.data, np.rint(sample.X.data)):
        raise PeerError(f"{path / 'counts.h5ad'} does not hold raw counts")
    return sample


def read_reference(path: Path) -> anndata.AnnData:
    """Read the cells of a FOCUS reference folder: X is CSR, counts or at least proportional to expression.

    Raises
    ------
    PeerError
        If the folder is not a reference.
    """
    if not path.is_dir():
        raise PeerError(f"no such reference folder: {path}")
    return _read_h5ad(path / "cells.h5ad")


def read_genes(path: Path) -> list[str]:
    """Read names of genes, one per line; empty lines and repeated names are dropped.

    Raises
    ------
    PeerError
        If there is no such file, or no name in it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PeerError(f"cannot read {path}: {error}") from error
    genes = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not genes:
        raise PeerError(f"{path} names no gene")
    return genes


def locate(names: Sequence[str], var: pd.DataFrame) -> np.ndarray:
    """Row of `var` for each name, −1 where there is none: by index, else by symbol, else by id without version."""
    index = var.index.astype(str)
    rows = np.full(len(names), -1)
    for keys in (index, var.get("gene_symbols"), var.get("gene_ids")):
        if keys is None:
            continue
        first: dict[str, int] = {}
        for row, key in enumerate(keys):
            first.setdefault(_bare(key), row)
        for place, name in enumerate(names):
            if rows[place] < 0 and (key := _bare(name)):
                rows[place] = first.get(key, -1)
    return rows


def _bare(name: object) -> str:
    """Name of a gene; the version of an Ensembl id is left out."""
    name = str(name)
    return name.split(".")[0] if name.startswith("ENS") else name


def scored_columns(sample: anndata.AnnData, genes: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Scored genes that the sample holds, and their columns.

    Raises
    ------
    PeerError
        If it holds none.
    """
    columns = locate(genes, sample.var)
    if (columns < 0).all():
        raise PeerError("the sample holds none of the genes")
    return [gene for gene, column in zip(genes, columns) if column >= 0], columns[columns >= 0]


def pair(sample: anndata.AnnData, reference: anndata.AnnData, genes: Sequence[str]) -> Paired:
    """Bring a sample and a reference to the same genes.

    Raises
    ------
    PeerError
        If they share no gene, or the reference holds none of the scored genes.
    """
    rows = locate(sample.var_names, reference.var)
    if "gene_ids" in sample.var:
        rows = np.where(rows < 0, locate(sample.var["gene_ids"].astype(str), reference.var), rows)
    shared = np.flatnonzero(rows >= 0)
    shared = shared[np.sort(np.unique(rows[shared], return_index=True)[1])]  # a gene of the reference serves once
    if len(shared) == 0:
        raise PeerError("the sample and the reference share no gene")
    own, direct = locate(genes, sample.var), locate(genes, reference.var)
    target = np.where(own >= 0, rows[own], direct)
    target = np.where(target < 0, direct, target)
    scored = [gene for gene, row in zip(genes, target) if row >= 0]
    if not scored:
        raise PeerError("the reference holds none of the genes")
    target = target[target >= 0]
    used = np.concatenate([rows[shared], np.setdiff1d(target, rows[shared])])
    place = {row: column for column, row in enumerate(used)}
    # Neutral names: some tools fold the case of names, or refuse repeated ones.
    names = pd.Index([f"g{column}" for column in range(len(used))])
    spots = anndata.AnnData(
        sample.X[:, shared], obs=pd.DataFrame(index=sample.obs_names), var=pd.DataFrame(index=names[: len(shared)])
    )
    cells = anndata.AnnData(
        reference.X[:, used], obs=reference.obs[[c for c in ("cell_type",) if c in reference.obs]].copy()
    )
    cells.var_names = names
    cells.obs_names = [f"c{row}" for row in range(cells.n_obs)]
    # Over all genes, scored ones or not: what normalisation divides by.
    cells.obs["total"] = np.asarray(reference.X.sum(axis=1)).ravel()
    return Paired(spots, cells, scored, np.array([place[row] for row in target]))


def as_counts(x: sparse.csr_matrix) -> sparse.csr_matrix | None:
    """Whole counts behind the values of cells, or None where there are none to be found.

    A cell's smallest value is one molecule where counts were only divided by its total.
    """
    if np.array_equal(x.data, np.rint(x.data)):
        return x
    filled = np.diff(x.indptr) > 0
    smallest = np.ones(x.shape[0], np.float32)
    smallest[filled] = np.minimum.reduceat(x.data, x.indptr[:-1][filled])
    counts = x.copy()
    counts.data = x.data / np.repeat(smallest, np.diff(x.indptr))
    whole = np.rint(counts.data)
    if np.abs(counts.data / whole - 1).max() > 1e-3:
        return None
    counts.data = whole
    return counts


def log_cp10k(per_molecule: np.ndarray) -> np.ndarray:
    """log1p of counts per 10,000 from shares of a location's molecules, float32.

    Raises
    ------
    PeerError
        If a share is negative or not finite.
    """
    if not np.isfinite(per_molecule).all() or (per_molecule < 0).any():
        raise PeerError("the method's estimate holds negative or infinite values")
    return np.log1p(TARGET_SUM * per_molecule.astype(np.float64)).astype(np.float32)


def silent_filled(values: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Rows of all locations from those of the locations with a molecule; the others get the mean of these.

    Models of counts cannot take a location without a molecule, and nothing is known of it.

    Parameters
    ----------
    values
        (h, G), rows of the locations that `heard` marks.
    heard
        bool (n,).
    """
    filled = np.broadcast_to(values.mean(axis=0), (len(heard), values.shape[1])).copy()
    filled[heard] = values
    return filled

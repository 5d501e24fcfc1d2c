"""What each cell type of the reference looks like on the genes that the sample measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import print_message
from focus_cli.genes import match_genes
from focus_cli.genes.reference import reference_for

if TYPE_CHECKING:
    import pandas as pd

    from focus_cli.genes.reference import Reference

MIN_GENES = 10
MIN_CELLS = 3
_FLOOR = 1e-9


@dataclass(frozen=True)
class Profiles:
    """The cells of a reference and their types, on genes shared with a sample.

    Attributes
    ----------
    types
        Names of the cell types, sorted.
    genes
        Rows of the sample's ``var``, int64 (G,), in the order of their names.
    cells
        Count-like values, CSR float64 (cells, G); cells in order of type, then of the reference.
    kind
        Type of each cell, int64 (cells,), ascending.
    share
        Mean expression of a type, rows sum to 1, float64 (K, G).
    rna
        Mean counts of a cell of that type over these genes, float64 (K,).
    whole
        Whether `cells` are whole numbers.
    """

    types: tuple[str, ...]
    genes: np.ndarray
    cells: sparse.csr_matrix
    kind: np.ndarray
    share: np.ndarray
    rna: np.ndarray
    whole: bool

    @property
    def n_cells(self) -> np.ndarray:
        """Cells of each type, int64 (K,)."""
        return np.bincount(self.kind, minlength=len(self.types))

    def of_cells(self, some: np.ndarray) -> Profiles:
        """The same of some of the cells, bool (cells,)."""
        cells, kind = self.cells[some], self.kind[some]
        share, rna = _means(cells, kind, len(self.types))
        return replace(self, cells=cells, kind=kind, share=share, rna=rna)


def type_profiles(reference: Reference, var: pd.DataFrame, measured: np.ndarray, max_genes: int) -> Profiles:
    """Cells and mean profiles of a reference on the genes that a sample measured.

    Parameters
    ----------
    var
        Genes of the sample.
    measured
        bool, one per row of `var`: whether its counts were measured.
    max_genes
        Genes to keep at most: those that distinguish types best (`informative_genes`).

    Raises
    ------
    BadInputError
        If the reference contains fewer than two types, or shares too few genes with the sample.
    """
    cells = reference_for(reference, var).cells
    label = cells.obs[keys.CELL_TYPE].astype(str).to_numpy()
    counted = {name: int((label == name).sum()) for name in np.unique(label)}
    types = tuple(name for name, n in counted.items() if n >= MIN_CELLS)
    if len(types) < 2:
        raise BadInputError(
            f"{reference.path} contains {len(types)} cell type(s) with at least {MIN_CELLS} cells; two are needed",
            hint="name the column of cell types: focus reference --cell-type COLUMN",
        )
    if rare := sorted(counted.keys() - set(types)):
        print_message(
            f"celltypes: types with fewer than {MIN_CELLS} cells in the reference are left out: {', '.join(rare)}"
        )
    rows = match_genes(var, cells.var)
    rows[~measured] = -1
    shared = np.flatnonzero(rows >= 0)
    if len(shared) < MIN_GENES:
        raise BadInputError(
            f"{reference.path} shares {len(shared)} measured genes with the sample; at least {MIN_GENES} are needed",
            hint="focus genes SAMPLE --reference REFERENCE lists the names that differ",
        )
    shared = shared[np.argsort(np.asarray(var.index, dtype=str)[shared], kind="stable")]
    kind = np.searchsorted(types, label)
    known = np.isin(label, types)
    kept = np.flatnonzero(known)[np.argsort(kind[known], kind="stable")]
    x = sparse.csr_matrix(cells.X)[kept][:, rows[shared]].astype(np.float64)
    kind = kind[kept]
    total = np.asarray(x.sum(axis=1)).ravel()
    filled = total > 0
    x, kind, total = x[filled], kind[filled], total[filled]
    gone = sorted({*range(len(types))} - set(kind.tolist()))
    if gone:
        raise BadInputError(
            f"{reference.path}: cells of {types[gone[0]]!r} express none of the {len(shared)} shared genes",
            hint="leave that type out of the reference",
        )
    share, _ = _means(x, kind, len(types))
    best = informative_genes(share, max_genes)
    x, shared = sparse.csr_matrix(x[:, best]), shared[best]
    filled = np.asarray(x.sum(axis=1)).ravel() > 0
    x, kind = x[filled], kind[filled]
    share, rna = _means(x, kind, len(types))
    whole = bool(np.array_equal(x.data, np.rint(x.data)))
    return Profiles(types, shared, x, kind, share, rna, whole)


def _means(x: sparse.csr_matrix, kind: np.ndarray, n_types: int) -> tuple[np.ndarray, np.ndarray]:
    members = sparse.csr_matrix((np.ones(len(kind)), (kind, np.arange(len(kind)))), shape=(n_types, len(kind)))
    total = np.asarray((members @ x).todense())
    n = np.maximum(np.asarray(members.sum(axis=1)).ravel(), 1)
    rna = np.maximum(total.sum(axis=1) / n, _FLOOR)
    share = total + _FLOOR
    return share / share.sum(axis=1, keepdims=True), rna


def informative_genes(share: np.ndarray, n: int) -> np.ndarray:
    """Indices of the `n` genes whose share differs most between types, ascending.

    The measure is the spread of the types around the gene's mean in units of Poisson noise: sum over types of
    (share - mean)² / mean.
    """
    if share.shape[1] <= n:
        return np.arange(share.shape[1])
    mean = share.mean(axis=0)
    spread = ((share - mean) ** 2 / np.maximum(mean, _FLOOR)).sum(axis=0)
    return np.sort(np.argsort(-spread, kind="stable")[:n])

"""Gene names: which gene of one table is which gene of another. Inputs are never changed."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from focus_cli import keys

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}(\.\d+)?")
_ID_COLUMNS = (keys.GENE_ID, "gene_id", "ensembl_id", "ensembl", "feature_id", "ensembl_gene_id")
_SYMBOL_COLUMNS = (keys.SYMBOL, "gene_symbol", "symbol", "gene_name", "feature_name", "gene_short_name")


@dataclass(frozen=True)
class GeneNames:
    """Names of the genes of one table, in its order; an empty string where a name is not known.

    `ensembl` has its version stripped; `collisions` are names that several rows share.
    """

    ensembl: np.ndarray
    symbol: np.ndarray
    collisions: list[str]


def _is_ensembl(values: pd.Series) -> bool:
    sample = values.astype(str).head(200)
    return len(sample) > 0 and sample.map(lambda v: bool(_ENSEMBL.fullmatch(v))).mean() > 0.5


def gene_table(var: pd.DataFrame) -> pd.DataFrame:
    """Genes of an AnnData's ``var`` as priors take them: names as index, Ensembl ids (or "") under ``gene_ids``."""
    return pd.DataFrame({keys.GENE_ID: read_gene_names(var).ensembl}, index=var.index.astype(str))


def read_gene_names(var: pd.DataFrame) -> GeneNames:
    """Find Ensembl ids and symbols in the index and columns of `var`.

    Parameters
    ----------
    var
        An AnnData's ``var``; its index may hold ids or symbols, its columns either.
    """
    index = pd.Series(var.index.astype(str), index=var.index)
    ensembl = symbol = None
    for column in _ID_COLUMNS:
        if column in var and _is_ensembl(var[column]):
            ensembl = var[column].astype(str)
            break
    if ensembl is None and _is_ensembl(index):
        ensembl = index
    for column in _SYMBOL_COLUMNS:
        if column in var and not _is_ensembl(var[column]):
            symbol = var[column].astype(str)
            break
    if symbol is None and not _is_ensembl(index):
        symbol = index
    blank = pd.Series("", index=var.index)
    ids = (ensembl if ensembl is not None else blank).map(lambda v: v.split(".")[0] if _ENSEMBL.fullmatch(v) else "")
    symbols = symbol if symbol is not None else blank
    named = ids.where(ids != "", symbols)
    counts = named[named != ""].value_counts()
    return GeneNames(ids.to_numpy(str), symbols.to_numpy(str), sorted(counts.index[counts > 1].astype(str)))


def match_genes(target: pd.DataFrame, source: pd.DataFrame) -> np.ndarray:
    """Row of `source` that is the same gene as each row of `target`, or −1.

    The Ensembl id decides where both tables have it; else the symbol. Of several rows with the same
    name the first one counts.

    Returns
    -------
    int64 array, one entry per row of `target`.
    """
    ours, theirs = read_gene_names(target), read_gene_names(source)
    rows = np.full(len(target), -1, dtype=np.int64)
    for mine, other in ((ours.symbol, theirs.symbol), (ours.ensembl, theirs.ensembl)):
        first: dict[str, int] = {}
        for row, name in enumerate(other):
            if name and name != "nan":
                first.setdefault(name, row)
        # The Ensembl pass comes second and overrides what the symbols said.
        for row, name in enumerate(mine):
            if name in first:
                rows[row] = first[name]
    return rows

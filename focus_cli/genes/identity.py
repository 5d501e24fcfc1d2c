"""What a table's genes are called, which species they are of, and which gene of the gene table each one is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pandas as pd

from focus_cli import keys
from focus_cli.genes.table import AMBIGUOUS, ID_PREFIX, SPECIES, UNKNOWN, GeneTable, load_table, plain

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}(\.\d+)?")
_ID_COLUMNS = (keys.GENE_ID, "gene_id", "ensembl_id", "ensembl", "feature_id", "ensembl_gene_id")
_SYMBOL_COLUMNS = (keys.SYMBOL, "gene_symbol", "symbol", "gene_name", "feature_name", "gene_short_name")
# Species that are named but have no table; others are named by their prefix.
_OTHER_SPECIES = {
    "ENSRNOG": "rat",
    "ENSDARG": "zebrafish",
    "ENSMMUG": "rhesus macaque",
    "ENSMFAG": "crab-eating macaque",
    "ENSSSCG": "pig",
    "ENSGALG": "chicken",
    "ENSBTAG": "cow",
    "ENSOCUG": "rabbit",
    "ENSCAFG": "dog",
    "ENSPTRG": "chimpanzee",
}
_SPECIES_OF = {prefix: species for species, prefix in ID_PREFIX.items()} | _OTHER_SPECIES
# Symbols tell the species where this share of them is known, twice as many as in the other species, and this many.
_KNOWN_SHARE, _KNOWN_RATIO, _KNOWN_LEAST = 0.3, 2.0, 3


class Evidence(IntEnum):
    """By what a gene was recognised; the lower, the stronger."""

    ID = 1
    SYMBOL = 2
    PREVIOUS = 3
    ALIAS = 4
    SPELLING = 5
    AMBIGUOUS = 8
    NONE = 9


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


def species_of(names: GeneNames) -> str:
    """The species of a table's genes in a word, by its ids, else by its symbols; "" where they do not tell.

    "human" and "mouse" have tables; any other is only named, so that it can be refused.
    """
    ids = [name for name in names.ensembl.tolist() if name]
    if ids:
        counts = pd.Series(ids).str.extract(r"^(ENS[A-Z]*?G)\d", expand=False).value_counts()
        prefix, count = counts.index[0], counts.iloc[0]
        return _SPECIES_OF.get(prefix, f"the species of {prefix}…") if count > 0.8 * len(ids) else ""
    symbols = {name for name in names.symbol.tolist() if name and name != "nan"}
    known = {}
    for species in SPECIES:
        known[species] = len(symbols & load_table(species).known_names)
    first, second = sorted(known, key=lambda s: -known[s])[:2]
    enough = known[first] >= max(_KNOWN_LEAST, _KNOWN_SHARE * len(symbols))
    return first if enough and known[first] >= _KNOWN_RATIO * known[second] else ""


def resolve(names: GeneNames, table: GeneTable) -> tuple[np.ndarray, np.ndarray]:
    """Find each gene in the gene table: by id, then by approved symbol, previous symbol, alias, plain spelling.

    A previous symbol or an alias of several genes is no evidence for any of them.

    Returns
    -------
    rows
        int64: row of the table, or −1.
    evidence
        uint8: `Evidence`; ``AMBIGUOUS`` where a name is known and does not tell.
    """
    n = len(names.symbol)
    rows, evidence = np.full(n, UNKNOWN, np.int64), np.full(n, Evidence.NONE, np.uint8)
    passes = (
        (Evidence.ID, names.ensembl, table.by_id),
        (Evidence.SYMBOL, names.symbol, table.by_symbol),
        (Evidence.PREVIOUS, names.symbol, table.by_previous),
        (Evidence.ALIAS, names.symbol, table.by_alias),
    )
    for kind, column, known in passes:
        open_ = np.flatnonzero(rows == UNKNOWN)
        found = np.array([known.get(name, UNKNOWN) for name in column[open_].tolist()], np.int64)
        _take(rows, evidence, open_, found, kind)
    open_ = np.flatnonzero((rows == UNKNOWN) & (names.symbol != ""))
    if len(open_):
        found = [table.by_spelling.get(plain(name), UNKNOWN) for name in names.symbol[open_].tolist()]
        _take(rows, evidence, open_, np.array(found, np.int64), Evidence.SPELLING)
    return np.maximum(rows, UNKNOWN), evidence


def _take(rows: np.ndarray, evidence: np.ndarray, at: np.ndarray, found: np.ndarray, kind: Evidence) -> None:
    rows[at[found >= 0]], evidence[at[found >= 0]] = found[found >= 0], kind
    # A name that several genes bore is settled: a weaker kind of name would be a guess.
    rows[at[found == AMBIGUOUS]], evidence[at[found == AMBIGUOUS]] = AMBIGUOUS, Evidence.AMBIGUOUS

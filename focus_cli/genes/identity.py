"""What a table's genes are called, which species they are of, and which gene of the gene table each one is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.missing import texts
from focus_cli.genes.forms import NameParts, split_names, without_suffixes
from focus_cli.genes.table import AMBIGUOUS, ID_PREFIX, SPECIES, UNKNOWN, GeneTable, load_table, plain

# Columns by their names without case and punctuation.
_ID_COLUMNS = ("geneids", "geneid", "ensemblid", "ensembl", "featureid", "ensemblgeneid", "id", "ids", "accession")
_SYMBOL_COLUMNS = (
    "genesymbols",
    "genesymbol",
    "symbol",
    "symbols",
    "genename",
    "genenames",
    "featurename",
    "geneshortname",
    "externalgenename",
    "hgncsymbol",
    "mgisymbol",
)
# Where the index holds no symbols, these hold them too.
_NAME_COLUMNS = ("gene", "genes", "name", "names", "feature", "features", "target", "index", "varnames")
# Heads of the columns of a table by which it has a header.
HEADS = frozenset((*_ID_COLUMNS, *_SYMBOL_COLUMNS, *_NAME_COLUMNS))
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
# Symbols identify the species where this share of them is known, twice as many as in the other species, and this many.
_KNOWN_SHARE, _KNOWN_RATIO, _KNOWN_LEAST = 0.3, 2.0, 3
_CAPITALS_LEAST = 5


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

    `ensembl` has its version stripped; `collisions` are names that several rows share; `species` is that of the
    prefix of a name (``GRCh38_``) or of an id, "" where neither decides.
    """

    ensembl: np.ndarray
    symbol: np.ndarray
    collisions: list[str]
    species: np.ndarray = field(default_factory=lambda: np.zeros(0, "U1"))

    def __post_init__(self) -> None:
        if len(self.species) != len(self.symbol):
            object.__setattr__(self, "species", np.full(len(self.symbol), "", "U1"))


def gene_table(var: pd.DataFrame) -> pd.DataFrame:
    """Genes of an AnnData's ``var`` as priors take them: names as index, Ensembl ids (or "") under ``gene_ids``."""
    return pd.DataFrame({keys.GENE_ID: read_gene_names(var).ensembl}, index=var.index.astype(str))


def read_gene_names(var: pd.DataFrame) -> GeneNames:
    """Find Ensembl ids and symbols in the index and columns of `var`.

    Names may have the forms of `focus_cli.genes.forms`. A gene without a name in one place goes by its name in another.

    Parameters
    ----------
    var
        An AnnData's ``var``; its index may hold ids or symbols, its columns either.
    """
    index = split_names(texts(var.index))
    columns: dict[str, int] = {}  # by their plain names; of two alike the first
    for i, column in enumerate(var.columns):
        columns.setdefault("".join(c for c in str(column).lower() if c.isalnum()), i)

    def parts(names: tuple[str, ...]):
        return (split_names(texts(var.iloc[:, columns[name]])) for name in names if name in columns)

    ids = next((found for found in parts(_ID_COLUMNS) if _mostly_ids(found)), None)
    symbols = next((f for f in parts(_SYMBOL_COLUMNS) if (f.symbol != "").any() and not _mostly_ids(f)), None)
    if symbols is None and not _mostly_symbols(index):
        symbols = next((found for found in parts(_NAME_COLUMNS) if _mostly_symbols(found)), None)
        if not _mostly_ids(index) and ids is None and symbols is None:
            ids, symbols = _by_content(var)
    order = [found for found in (ids, index, symbols) if found is not None]
    ensembl = _first([found.ensembl for found in order])
    symbol = _first([found.symbol for found in (symbols, index, ids) if found is not None])
    if any(len(name) > 2 and name[-1].isdigit() and name[-2:-1] in "-.0123456789" for name in symbol.tolist()):
        symbol = _bare(symbol)
    species = _first([*(found.species for found in order), _species_of_ids(ensembl)])
    named = pd.Series(np.where(ensembl != "", ensembl, symbol))
    counts = named[named != ""].value_counts()
    return GeneNames(ensembl, symbol, sorted(counts.index[counts > 1].astype(str)), species)


def _mostly_ids(found: NameParts) -> bool:
    ids = found.ensembl != ""
    named = ids | (found.symbol != "")
    return bool(ids.any()) and ids.sum() > 0.5 * named.sum()


def _mostly_symbols(found: NameParts) -> bool:
    return bool(len(found.symbol)) and (found.symbol != "").mean() > 0.5


def _by_content(var: pd.DataFrame) -> tuple[NameParts | None, NameParts | None]:
    """Ids and symbols of a table whose index holds numbers and whose columns have other names."""
    ids, symbols, most = None, None, 0.3
    for i in range(var.shape[1]):
        column = var.iloc[:, i]
        if pd.api.types.is_numeric_dtype(column.dtype) or column.nunique() <= 0.5 * len(column):
            continue
        found = split_names(texts(column))
        if ids is None and _mostly_ids(found):
            ids = found
        elif (share := _known_share(found.symbol)) > most:
            symbols, most = found, share
    return ids, symbols


def _known_share(symbols: np.ndarray) -> float:
    """Share of symbols that a gene table contains, of any species and spelling."""
    names = [name for name in symbols.tolist() if name]
    return float(np.mean([is_known(name) for name in names])) if names else 0.0


def is_known(symbol: str) -> bool:
    """Whether a symbol is known in any species: as written, or in plain spelling."""
    tables = [load_table(species) for species in SPECIES]
    return any(symbol in table.known_names or plain(symbol) in table.by_spelling for table in tables)


def share_of_genes(names: Iterable[str]) -> float:
    """Share of names that are an Ensembl id, or a symbol that a gene table contains, in any species and spelling."""
    found = split_names(texts(names))
    known = [bool(i) or (bool(s) and is_known(s)) for i, s in zip(found.ensembl.tolist(), found.symbol.tolist())]
    return float(np.mean(known)) if known else 0.0


def _first(columns: list[np.ndarray]) -> np.ndarray:
    """Entries of the first column that has one, row by row."""
    found = columns[0]
    for other in columns[1:]:
        found = np.where(found != "", found, other)
    return found


def _bare(symbols: np.ndarray) -> np.ndarray:
    # Tables are read only where a name looks like one that was made unique.
    if (without_suffixes(symbols, frozenset()) == symbols).all():
        return symbols
    return without_suffixes(symbols, frozenset().union(*(load_table(species).known_names for species in SPECIES)))


def _species_of_ids(ensembl: np.ndarray) -> np.ndarray:
    prefix = [name[:-11] for name in ensembl.tolist()]
    of = {one: _SPECIES_OF.get(one, f"the species of {one}…") if one else "" for one in set(prefix)}
    return np.array([of[one] for one in prefix], dtype=str) if prefix else np.zeros(0, "U1")


def species_of(names: GeneNames) -> str:
    """The species of a table's genes in a word, by its ids, else by its symbols; "" where they do not decide.

    "human" and "mouse" have tables; any other is only named, so that it can be refused.
    """
    stated = names.species[names.species != ""]
    if len(stated):
        species, counts = np.unique(stated, return_counts=True)
        return str(species[counts.argmax()]) if counts.max() > 0.8 * len(stated) else ""
    if mouse_in_capitals(names):
        return "mouse"
    symbols = {name for name in names.symbol.tolist() if name}
    known = {species: len(symbols & load_table(species).known_names) for species in SPECIES}
    first, second = sorted(known, key=lambda s: -known[s])[:2]
    enough = known[first] >= max(_KNOWN_LEAST, _KNOWN_SHARE * len(symbols))
    return first if enough and known[first] >= _KNOWN_RATIO * known[second] else ""


def mouse_in_capitals(names: GeneNames) -> bool:
    """Whether symbols are in capitals, as those of human genes, and fit the mouse better: TRP53, H2-K1."""
    symbols = {name for name in names.symbol.tolist() if name}
    if not symbols or any(name != name.upper() for name in symbols):
        return False
    human, mouse = load_table("human"), load_table("mouse")
    in_mouse = {name for name in symbols if plain(name) in mouse.by_spelling}
    only_mouse = [name for name in in_mouse if name not in human.by_symbol]
    only_human = [name for name in symbols - in_mouse if name in human.by_symbol]
    enough = len(only_mouse) >= _CAPITALS_LEAST and len(in_mouse) >= _KNOWN_SHARE * len(symbols)
    return enough and len(only_mouse) >= 3 * len(only_human)


def species_mix(names: GeneNames) -> dict[str, int]:
    """Genes of each species of a panel of several; empty if there is one species or none is identified."""
    stated = names.species[names.species != ""]
    if len(stated):
        species, counts = np.unique(stated, return_counts=True)
        found = {str(s): int(n) for s, n in zip(species, counts) if n >= max(_KNOWN_LEAST, 0.05 * len(stated))}
    else:
        symbols = {name for name in names.symbol.tolist() if name}
        tables = {species: load_table(species).known_names for species in SPECIES}
        only = {s: symbols & tables[s] - frozenset().union(*(tables[o] for o in SPECIES if o != s)) for s in SPECIES}
        found = {s: len(part) for s, part in only.items() if len(part) >= max(_KNOWN_LEAST, 0.25 * len(symbols))}
    return dict(sorted(found.items(), key=lambda one: -one[1])) if len(found) > 1 else {}


def resolve(names: GeneNames, table: GeneTable) -> tuple[np.ndarray, np.ndarray]:
    """Find each gene in the gene table: by id, then by approved symbol, previous symbol, alias, plain spelling.

    A previous symbol or an alias of several genes is no evidence for any of them, nor is the symbol of a gene whose
    prefix or id names another species.

    Returns
    -------
    rows
        int64: row of the table, or −1.
    evidence
        uint8: `Evidence`; ``AMBIGUOUS`` where a name is known and ambiguous.
    """
    n = len(names.symbol)
    other = (names.species != "") & (names.species != table.species)
    symbol = np.where(other, "", names.symbol)
    rows, evidence = np.full(n, UNKNOWN, np.int64), np.full(n, Evidence.NONE, np.uint8)
    passes = (
        (Evidence.ID, names.ensembl, table.by_id),
        (Evidence.SYMBOL, symbol, table.by_symbol),
        (Evidence.PREVIOUS, symbol, table.by_previous),
        (Evidence.ALIAS, symbol, table.by_alias),
    )
    for kind, column, known in passes:
        open_ = np.flatnonzero(rows == UNKNOWN)
        found = np.array([known.get(name, UNKNOWN) for name in column[open_].tolist()], np.int64)
        _take(rows, evidence, open_, found, kind)
    open_ = np.flatnonzero((rows == UNKNOWN) & (symbol != ""))
    if len(open_):
        found = np.array([table.by_spelling.get(plain(name), UNKNOWN) for name in symbol[open_].tolist()], np.int64)
        _take(rows, evidence, open_, found, Evidence.SPELLING)
    return np.maximum(rows, UNKNOWN), evidence


def _take(rows: np.ndarray, evidence: np.ndarray, at: np.ndarray, found: np.ndarray, kind: Evidence) -> None:
    rows[at[found >= 0]], evidence[at[found >= 0]] = found[found >= 0], kind
    # A name that several genes bore is settled: a weaker kind of name would be a guess.
    rows[at[found == AMBIGUOUS]], evidence[at[found == AMBIGUOUS]] = AMBIGUOUS, Evidence.AMBIGUOUS

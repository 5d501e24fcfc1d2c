"""Which gene of one table is which gene of another. Neither table is changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.genes.identity import GeneNames, read_gene_names, resolve, species_of
from focus_cli.genes.mangled import is_mangled
from focus_cli.genes.table import SPECIES, load_table


def match_genes(target: pd.DataFrame, source: pd.DataFrame, *, exclusive: bool = True) -> np.ndarray:
    """Row of `source` that is the same gene as each row of `target`, or −1.

    Equal Ensembl ids decide, versions aside; then equal symbols; then the entries of the gene table for both: previous
    symbols, aliases that mean one gene alone, and the approved symbol of a gene of which the other table has the id
    only. Stronger evidence comes first, and a gene that it has taken is not open to weaker. Equal symbols do not
    count where both rows have ids that the gene table lists under different symbols, nor where prefixes or ids name
    different species. Of several rows with the same
    name the first one counts.

    Parameters
    ----------
    target, source
        ``var`` of two AnnData files, or the like: see `read_gene_names`.
    exclusive
        Whether a gene of `source` may be taken by one kind of evidence only; False where `target` may name a gene
        twice, as lists of genes do.

    Returns
    -------
    int64 array, one entry per row of `target`.
    """
    ours, theirs = read_gene_names(target), read_gene_names(source)
    rows = np.full(len(target), -1, dtype=np.int64)
    free = np.ones(len(source), dtype=bool)
    _match_equal(ours.ensembl, theirs.ensembl, rows, free, exclusive)
    _match_equal(ours.symbol, theirs.symbol, rows, free, exclusive, veto=_Veto(ours, theirs))
    if (rows < 0).any() and free.any():
        _match_known(ours, theirs, rows, free, exclusive)
    return rows


def _match_equal(
    mine: np.ndarray, other: np.ndarray, rows: np.ndarray, free: np.ndarray, exclusive: bool, veto: _Veto | None = None
) -> None:
    """Fill `rows` where names are equal; rows of the source taken here are no longer `free`."""
    first: dict[str, int] = {}
    for row, name in enumerate(other.tolist()):
        # 1-Mar on both sides may be MARCH1 on the one and MARC1 on the other.
        if name and free[row] and not is_mangled(name):
            first.setdefault(name, row)
    open_ = np.flatnonzero(rows < 0)
    found = np.array([first.get(name, -1) for name in mine[open_].tolist()], np.int64)
    if veto is not None and len(found):
        found = veto.other_species(open_, veto(open_, found))
    rows[open_] = found
    if exclusive:
        free[found[found >= 0]] = False


class _Veto:
    """Equal symbols of two genes that the gene table distinguishes by their ids."""

    def __init__(self, ours: GeneNames, theirs: GeneNames) -> None:
        self.ours, self.theirs = ours, theirs

    def other_species(self, at: np.ndarray, found: np.ndarray) -> np.ndarray:
        """`found` without genes of another species, where a panel of two is matched with a table of one."""
        if not (found >= 0).any() or len(set(self.ours.species.tolist()) | set(self.theirs.species.tolist())) < 2:
            return found
        mine, other = self._species(self.ours)[at], self._species(self.theirs)[found]
        return np.where((mine != "") & (other != "") & (mine != other), -1, found)

    @staticmethod
    def _species(names: GeneNames) -> np.ndarray:
        if (names.species != "").any():
            return names.species
        return np.full(len(names.species), species_of(names))

    def __call__(self, at: np.ndarray, found: np.ndarray) -> np.ndarray:
        mine, other = self.ours.ensembl[at], self.theirs.ensembl[found]
        doubtful = np.flatnonzero((found >= 0) & (mine != "") & (other != "") & (mine != other))
        if not len(doubtful):
            return found
        species = species_of(self.ours)
        if species not in SPECIES or species_of(self.theirs) != species:
            return found
        table = load_table(species)
        found = found.copy()
        for i in doubtful:
            one, two = (table.by_id.get(str(name)) for name in (mine[i], other[i]))
            if one is not None and two is not None and table.symbol[one] != table.symbol[two]:
                found[i] = -1
        return found


def _match_known(ours: GeneNames, theirs: GeneNames, rows: np.ndarray, free: np.ndarray, exclusive: bool) -> None:
    """Fill `rows` through the gene table, for genes that are still open on both sides."""
    one, two = species_of(ours), species_of(theirs)
    species = one or two
    if species not in SPECIES or (one and two and one != two):
        return
    table = load_table(species)
    keys_of = [resolve(names, table) for names in (ours, theirs)]
    (mine, my_evidence), (other, their_evidence) = keys_of
    candidates = np.flatnonzero(free & (other >= 0))
    # Best evidence first, then the order of the table; of equals the first is kept.
    candidates = candidates[np.argsort(their_evidence[candidates], kind="stable")]
    place: dict[int, int] = {}
    for row in candidates.tolist():
        place.setdefault(int(other[row]), row)
    open_ = np.flatnonzero((rows < 0) & (mine >= 0))
    for row in open_[np.argsort(my_evidence[open_], kind="stable")].tolist():
        found = place.get(int(mine[row]), -1)
        if found >= 0 and (free[found] or not exclusive):
            rows[row] = found
            free[found] = False


def common_names(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Tables of genes under common names: each gene is called as the first table that has it calls it.

    Parameters
    ----------
    tables
        Indexed by name, with Ensembl ids under ``gene_ids``; not changed. Names are unique within each.

    Returns
    -------
    The same tables in the same order of rows; one whose names are common already is handed back itself.
    """
    renamed, known = [], None
    for table in tables:
        if known is None or table.index.equals(known.index):
            renamed.append(table)
            known = table if known is None else known
            continue
        rows = match_genes(table, known)
        names = table.index.to_numpy(str).astype(object)
        names[rows >= 0] = known.index.to_numpy(str)[rows[rows >= 0]]
        names = _free_names(names, rows, table, set(known.index))
        renamed.append(table if (names == table.index.to_numpy(object)).all() else table.set_axis(names, axis=0))
        known = pd.concat([known, renamed[-1][rows < 0]])
    return renamed


def _free_names(names: np.ndarray, rows: np.ndarray, table: pd.DataFrame, taken: set[str]) -> np.ndarray:
    """A gene that is another one than its namesake goes by its id, else by its name with a number."""
    for row in np.flatnonzero(rows < 0):
        name, number = names[row], 1
        if name in taken:
            name = table[keys.GENE_ID].iloc[row] or name
        while name in taken:
            number += 1
            name = f"{names[row]}-{number}"
        names[row] = name
        taken.add(name)
    return names

"""From one species to the other by one-to-one orthologues, and the refusal where there are none."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.genes.identity import read_gene_names, resolve, species_of
from focus_cli.genes.table import SPECIES, load_table

SOURCE_ID, SOURCE_SYMBOL = "source_gene_ids", "source_gene_symbols"
MIN_ORTHOLOGUES = 10
VARIABLE = "FOCUS_ORTHOLOGUES"  # off: genes of two species are not matched


class _InUse:
    """Whether orthologues are used in this process; None: as the environment variable states."""

    on: bool | None = None


def use_orthologues(on: bool | None) -> None:
    """Switch the use of orthologues between species on or off; None: as ``FOCUS_ORTHOLOGUES`` states, else on."""
    _InUse.on = on


def orthologues_used() -> bool:
    """Whether genes of two species are matched by their one-to-one orthologues."""
    if _InUse.on is not None:
        return _InUse.on
    return os.environ.get(VARIABLE, "").strip().lower() not in ("0", "off", "no", "false")


def species_pair(target: pd.DataFrame, source: pd.DataFrame) -> tuple[str, str] | None:
    """The species of two tables of genes, where both are known and differ; else None."""
    one, two = (species_of(read_gene_names(var)) for var in (target, source))
    return (one, two) if one and two and one != two else None


def require_one_species(target: pd.DataFrame, source: pd.DataFrame, target_is: str, source_is: str) -> None:
    """Refuse two tables of genes of different species, if there are no orthologues between them or they are not used.

    Parameters
    ----------
    target, source
        ``var`` of each.
    target_is, source_is
        What they are, for the message: "the sample", "the reference".

    Raises
    ------
    BadInputError
        Naming both species. Where the names do not decide, nothing is refused.
    """
    if pair := species_pair(target, source):
        _require_orthologues(pair, target_is, source_is)


def _require_orthologues(pair: tuple[str, str], target_is: str, source_is: str) -> None:
    known = set(pair) <= set(SPECIES)
    if known and orthologues_used():
        return
    hint = f"use one of the same species{', or allow orthologues (docs/genes.md)' if known else ''}"
    raise BadInputError(
        f"{target_is} is {pair[0]} and {source_is} is {pair[1]}: their genes are not the same", hint=hint
    )


def to_species_of(
    target: pd.DataFrame, source: pd.DataFrame, target_is: str, source_is: str
) -> tuple[np.ndarray, pd.DataFrame, dict[str, Any]] | None:
    """Genes of `source` under the names of the species of `target`; see `to_species`.

    Returns
    -------
    None where both are of one species, or the names of one do not identify its species: nothing is to be renamed.

    Raises
    ------
    BadInputError
        As `require_one_species` and `to_species`.
    """
    pair = species_pair(target, source)
    if pair is None:
        return None
    _require_orthologues(pair, target_is, source_is)
    return to_species(source, pair[0], source_is)


def to_species(var: pd.DataFrame, species: str, what: str) -> tuple[np.ndarray, pd.DataFrame, dict[str, Any]]:
    """Genes of another species as their one-to-one orthologues.

    Parameters
    ----------
    var
        ``var`` of an AnnData; not changed.
    species
        The species to go to.
    what
        The file, for messages.

    Returns
    -------
    kept
        int64: rows of `var` that have an orthologue, ascending; all rows where `var` is of that species already.
    renamed
        Their table: the index as it was; ``gene_ids`` and ``gene_symbols`` of the orthologue; the own names under
        ``source_gene_ids`` and ``source_gene_symbols``.
    facts
        JSON-safe: from, to, how many genes were kept.

    Raises
    ------
    BadInputError
        If the species cannot be determined or has no table, or fewer than ten genes have an orthologue.
    """
    names = read_gene_names(var)
    own = species_of(names)
    facts = {"from": own, "to": species, "n_genes": len(var)}
    if own == species:
        return np.arange(len(var)), var, facts | {"n_orthologues": len(var)}
    if own not in SPECIES:
        raise BadInputError(
            f"{what}: its genes are of {own or 'a species that their names do not identify'}; "
            f"there are orthologues between {' and '.join(SPECIES)} only",
            hint="give Ensembl ids, or a --gene-table",
        )
    table, other = load_table(own), load_table(species)
    rows, evidence = resolve(names, table)
    goal = np.where(rows >= 0, table.orthologue[rows], "")
    # Of several rows with one orthologue the best recognised, then the first, stands for it.
    order = np.lexsort((np.arange(len(goal)), evidence))
    order = order[goal[order] != ""]
    kept = np.sort(order[np.unique(goal[order], return_index=True)[1]])
    if len(kept) < MIN_ORTHOLOGUES:
        raise BadInputError(
            f"{what}: {len(kept)} of {len(var):,} genes have a one-to-one orthologue in {species}",
            hint="give Ensembl ids, or a --gene-table with a column orthologue",
        )
    goal = goal[kept]
    place = np.array([other.by_id.get(name, -1) for name in goal.tolist()])
    symbols = np.where(place >= 0, other.symbol[place], "")
    renamed = pd.DataFrame(
        {
            keys.GENE_ID: goal,
            keys.SYMBOL: np.where(symbols != "", symbols, goal),
            SOURCE_ID: names.ensembl[kept],
            SOURCE_SYMBOL: names.symbol[kept],
        },
        index=var.index[kept],
    )
    return kept, renamed, facts | {"n_orthologues": len(kept)}

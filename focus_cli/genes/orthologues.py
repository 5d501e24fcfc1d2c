"""From one species to the other, where it is requested: one-to-one orthologues, and the refusal where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.genes.identity import read_gene_names, resolve, species_of
from focus_cli.genes.table import SPECIES, load_table

SOURCE_ID, SOURCE_SYMBOL = "source_gene_ids", "source_gene_symbols"
MIN_ORTHOLOGUES = 10


def require_one_species(target: pd.DataFrame, source: pd.DataFrame, target_is: str, source_is: str) -> None:
    """Refuse two tables of genes that are known to be of different species.

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
    one, two = (species_of(read_gene_names(var)) for var in (target, source))
    if one and two and one != two:
        both = one in SPECIES and two in SPECIES and "reference" in source_is
        hint = "use one of the same species"
        if both:
            hint += f", or state the step across: focus reference --orthologues {one} (docs/genes.md)"
        raise BadInputError(f"{target_is} is {one} and {source_is} is {two}: their genes are not the same", hint=hint)


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

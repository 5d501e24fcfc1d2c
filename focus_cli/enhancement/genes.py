"""Which genes are written, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import UsageError
from focus_cli.genes import match_genes, read_gene_list
from focus_cli.model.priors import SpatialPrior


@dataclass(frozen=True)
class OutputGenes:
    """Genes of an enhanced file: the panel in its own order, then inferred genes by name.

    `prior_rows` are their rows in the prior; `panel_columns` is the output column of each panel gene, or −1.
    """

    names: np.ndarray
    measured: np.ndarray
    prior_rows: np.ndarray
    panel_columns: np.ndarray


def choose_genes(wanted: str, panel: np.ndarray, prior: SpatialPrior) -> OutputGenes:
    """Resolve ``--genes``: ``measured``, ``all``, or a file that names genes: see `focus_cli.genes.files.read_var`.

    A name that is none of the sample's, the model's or the reference's own may be an Ensembl id, a previous symbol or
    an alias; the gene is written under its own name all the same.

    Raises
    ------
    UsageError
        If a file names a gene that neither the panel, the model nor the reference contains.
    BadInputError
        If a file names no gene.
    """
    inferred = np.setdiff1d(prior.genes, panel)
    if wanted == "measured":
        names = panel
    elif wanted == "all":
        names = np.concatenate([panel, inferred])
    else:
        asked = read_gene_list(Path(wanted))
        own = np.concatenate([panel, inferred])
        table = pd.DataFrame({keys.GENE_ID: ""}, index=own)
        table.loc[prior.genes, keys.GENE_ID] = prior.gene_ids
        foreign = asked[~asked.index.isin(own)]
        found = match_genes(foreign, table, exclusive=False)
        refuse_unknown(foreign.index[found < 0].tolist(), len(asked), wanted)
        chosen = set(asked.index) | set(own[found].tolist())
        names = np.array([g for g in np.concatenate([panel, inferred]) if g in chosen])
    column = {name: i for i, name in enumerate(names)}
    return OutputGenes(
        names=names,
        measured=np.isin(names, panel),
        prior_rows=prior.rows(names),
        panel_columns=np.array([column.get(name, -1) for name in panel], dtype=np.int64),
    )


def refuse_unknown(missing: list[str], n_asked: int, wanted: str) -> None:
    """Refuse names of a list that no table of genes has.

    Raises
    ------
    UsageError
        With the first of them; none where nothing is missing.
    """
    if missing:
        raise UsageError(
            f"{len(missing)} of {n_asked} genes of {wanted} are unknown: {', '.join(missing[:5])}",
            hint="a gene outside the panel needs a --reference (or a model) that contains it",
        )

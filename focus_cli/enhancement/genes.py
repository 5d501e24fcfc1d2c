"""Which genes are written, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli import keys
from focus_cli.errors import BadInputError, UsageError
from focus_cli.genes import match_genes
from focus_cli.priors import SpatialPrior


@dataclass(frozen=True)
class OutputGenes:
    """Genes of an enhanced file: the panel in its own order, then inferred genes by name.

    `prior_rows` are their rows in the prior; `panel_columns` is the output column of each panel gene, or −1.
    """

    names: np.ndarray
    measured: np.ndarray
    prior_rows: np.ndarray
    panel_columns: np.ndarray


def read_gene_list(path: Path) -> list[str]:
    """Names of genes, one per line.

    Raises
    ------
    UsageError
        If there is no such file.
    BadInputError
        If it is no text, or names no gene.
    """
    if not Path(path).is_file():
        raise UsageError(f"--genes {path}: no such file", hint="give all, measured or a file of names")
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadInputError(f"{path} is not a text file", hint="one gene name per line, in UTF-8") from None
    if not (names := [line.strip() for line in lines if line.strip()]):
        raise BadInputError(f"{path} names no gene", hint="one gene name per line")
    return names


def choose_genes(wanted: str, panel: np.ndarray, prior: SpatialPrior) -> OutputGenes:
    """Resolve ``--genes``: ``measured``, ``all``, or a file with one name per line.

    A name that is none of the sample's, the model's or the reference's own may be an Ensembl id, a previous symbol or
    an alias; the gene is written under its own name all the same.

    Raises
    ------
    UsageError
        If a file names a gene that neither the panel, the model nor the reference knows.
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
        foreign = sorted(set(asked) - set(own))
        table = pd.DataFrame({keys.GENE_ID: ""}, index=own)
        table.loc[prior.genes, keys.GENE_ID] = prior.gene_ids
        found = dict(zip(foreign, match_genes(pd.DataFrame(index=foreign), table, exclusive=False).tolist()))
        refuse_unknown([name for name in foreign if found[name] < 0], len(set(asked)), wanted)
        chosen = set(asked) | {own[row] for row in found.values()}
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
            hint="a gene outside the panel needs a --reference (or a model) that knows it",
        )

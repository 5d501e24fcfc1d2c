"""Requested genes and locations, resolved before any long work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.genes import gene_table, match_genes
from focus_cli.model.priors import SpatialPrior


def find_genes(requested: Sequence[str], panel: pd.DataFrame, prior: SpatialPrior, reference) -> list[str]:
    """Own names of the genes that are requested, in the order requested.

    Parameters
    ----------
    requested
        Symbols, old or new, or Ensembl ids.
    panel
        The sample's genes: names as index, ids under ``gene_ids``.
    reference
        `focus_cli.genes.reference.Reference`, or None.

    Raises
    ------
    UsageError
        If none is requested, or one is unknown to the sample, the model and the reference.
    """
    if not requested:
        raise UsageError("no gene is requested", hint="--gene NAME, once for each")
    tables = [panel[[keys.GENE_ID]], prior.var[[keys.GENE_ID]]]
    # The sample's and the model's names count before those of the reference, which are matched to them.
    levels = [pd.concat(tables), *([] if reference is None else [gene_table(reference.cells.var)[[keys.GENE_ID]]])]
    wanted, own = list(dict.fromkeys(requested)), {}
    for table in levels:
        table = table[~table.index.duplicated()]
        own |= {name: name for name in wanted if name not in own and name in table.index}
        for name in wanted:
            if name not in own and (row := _match(name, table)) >= 0:
                own[name] = str(table.index[row])
    missing = [name for name in wanted if name not in own]
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(wanted)} genes are unknown: {', '.join(missing[:5])}",
            hint="a gene outside the panel needs a --reference (or a model) that contains it",
        )
    return list(dict.fromkeys(own[name] for name in wanted))


def _match(name: str, table: pd.DataFrame) -> int:
    # One at a time: a list is taken for ids or for symbols as a whole.
    return int(match_genes(pd.DataFrame(index=[name]), table, exclusive=False)[0])


def find_locations(requested: Sequence[str], names: np.ndarray, sample_id: str) -> np.ndarray:
    """Rows of the locations that are requested, int64, in the order requested.

    Raises
    ------
    BadInputError
        If one is not in the sample.
    """
    row_of = {name: row for row, name in enumerate(names.tolist())}
    wanted = list(dict.fromkeys(requested))
    missing = [name for name in wanted if name not in row_of]
    if missing:
        raise BadInputError(
            f"{len(missing)} of {len(wanted)} locations are not in {sample_id}: {', '.join(missing[:3])}",
            hint=f"locations are named as in obs_names: {names[0]}, …",
        )
    return np.array([row_of[name] for name in wanted], np.int64)


def written_as(requested: Sequence[str], names: np.ndarray, prior: SpatialPrior) -> list[int]:
    """Place of each gene among `names`, by which a gene of the reference may go under another name than its own."""
    place = {name: i for i, name in enumerate(names.tolist())}
    foreign = [name for name in requested if name not in place]
    if foreign:
        table = pd.DataFrame({keys.GENE_ID: prior.gene_ids[prior.rows(names)]}, index=names)
        place |= {name: _match(name, table) for name in foreign}
    return list(dict.fromkeys(place[name] for name in requested))

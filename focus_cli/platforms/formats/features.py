"""Ids, symbols and types of an AnnData's features, from the index and the columns of ``var``."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from focus_cli import keys
from focus_cli.errors import BadInputError
from focus_cli.missing import texts
from focus_cli.platforms.checks import GENE_EXPRESSION, check_unique

# Columns of var that hold symbols or ids, by the programs that write them.
SYMBOL_COLUMNS = (
    *(keys.SYMBOL, "real_gene_name", "gene_symbol", "feature_name", "gene_name", "gene_short_name", "symbol"),
    *("symbols", "Symbol", "gene_names", "hgnc_symbol", "mgi_symbol", "SYMBOL", "GeneSymbol"),
)
ID_COLUMNS = (keys.GENE_ID, "gene_id", "ensembl_id", "ensembl_ids", "ensembl", "ensembl_gene_id", "ENSEMBL", "GeneID")
INFERRED = "gene inferred by FOCUS"
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")
_BARCODE = re.compile(r"[ACGTN]{12,}([-_.]\w+)*|s_\d{3}um_\d+_\d+(-\d+)?")
_LOOKED_AT = 1000


def feature_table(var: pd.DataFrame, where: str, *, prefer_columns: bool = False) -> pd.DataFrame:
    """Columns ``id``, ``name``, ``type`` of the features, str; ``""`` where the file has no value.

    Symbols are the index, unless that holds Ensembl ids or numbers. Symbols may repeat where a column of ids tells
    the genes apart.

    Parameters
    ----------
    var
        The AnnData's table of features.
    where
        File and key to name in messages.
    prefer_columns
        A column of symbols comes before the index, whatever that holds.

    Raises
    ------
    BadInputError
        If features repeat and no column of ids tells them apart.
    """
    index = texts(var.index)
    by_id = _share(_ENSEMBL, index) > 0.5
    numbered = len(index) > 0 and all(name.isdigit() for name in index[:_LOOKED_AT])
    ids, symbols = _column(var, ID_COLUMNS), _column(var, SYMBOL_COLUMNS)
    names = symbols if symbols is not None and (by_id or numbered or prefer_columns) else index
    if by_id or (numbered and ids is None and symbols is not None):
        known = index if by_id else names
    else:
        known = index if ids is None else ids
    if ids is None and not by_id:
        check_unique(index[index != ""], "genes", where)
    # An index of ids is the id of a gene that its column of symbols does not name.
    table = pd.DataFrame({"id": known, "name": names}, dtype=object)
    table["type"] = texts(var[keys.FEATURE_TYPE]) if keys.FEATURE_TYPE in var.columns else GENE_EXPRESSION
    if keys.MEASURED in var.columns:  # an enhanced file: its inferred genes are not data
        table.loc[~var[keys.MEASURED].astype(bool).to_numpy(), "type"] = INFERRED
    return table


def check_orientation(obs_names: Sequence[str], var_names: Sequence[str], where: str) -> None:
    """Refuse genes × locations: an ``obs`` of gene ids, or a ``var`` of barcodes.

    Raises
    ------
    BadInputError
        If the table is transposed.
    """
    obs, var = texts(obs_names[:_LOOKED_AT]), texts(var_names[:_LOOKED_AT])
    if _share(_ENSEMBL, obs) > 0.5 or (_share(_BARCODE, var) > 0.5 and _share(_BARCODE, obs) < 0.5):
        raise BadInputError(
            f"{where}: the table is transposed: obs holds genes ({obs[0]!r}), var locations ({var[0]!r})"
            if len(obs) and len(var)
            else f"{where}: the table is transposed: obs holds genes, var locations",
            hint="write adata.T (locations × genes) instead",
        )


def _column(var: pd.DataFrame, names: Sequence[str]) -> np.ndarray | None:
    known = next((name for name in names if name in var.columns and isinstance(var[name], pd.Series)), None)
    return None if known is None else texts(var[known])


def _share(pattern: re.Pattern, names: np.ndarray) -> float:
    names = names[:_LOOKED_AT]
    return float(np.mean([bool(pattern.fullmatch(name)) for name in names])) if len(names) else 0.0

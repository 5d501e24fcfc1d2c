"""Ids, symbols and types of an AnnData's features, from the index and the columns of ``var``."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.missing import texts
from focus_cli.genes import read_gene_names, share_of_genes
from focus_cli.platforms.checks import check_unique, control_types, feature_kinds

# Columns of var that hold symbols, ids or types, by the programs that write them; without case and punctuation.
SYMBOL_COLUMNS = (
    *("genesymbols", "realgenename", "genesymbol", "featurename", "genename", "geneshortname", "symbol", "symbols"),
    *("genenames", "externalgenename", "hgncsymbol", "mgisymbol"),
)
ID_COLUMNS = ("geneids", "geneid", "ensemblid", "ensemblids", "ensembl", "ensemblgeneid")
_TYPE_COLUMNS = ("featuretypes", "featuretype")
# What vendors call features that are no genes, where no column states it.
_CONTROLS = {
    r"blank([-_. ]?\d+)?$|blank[-_. ]?codeword": "Blank",
    r"(neg(prb|probe|add)|custom_neg)[-_.]?\d+$": "Negative Control Probe",
    r"neg(ative)?[-_. ]?(control|ctrl)[-_. ]?(probe|codeword)|antisense_": "Negative Control Probe",
    r"system[-_. ]?control[-_. ]?\d*$": "System Control",
    r"false[-_. ]?code[-_. ]?\d*$": "False Code",
    r"(unassigned|deprecated)codeword_": "Unassigned Codeword",
    r"intergenic_region_": "Genomic Control",
}
INFERRED = "gene inferred by FOCUS"
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")
_BARCODE = re.compile(r"[ACGTN]{12,}([-_.]\w+)*|s_\d{3}um_\d+_\d+(-\d+)?")
_LOOKED_AT, _FEW = 1000, 200


def feature_table(var: pd.DataFrame, where: str, *, prefer_columns: bool = False) -> pd.DataFrame:
    """Columns ``id``, ``name``, ``type`` of the features, str; ``""`` where the file has no value.

    Symbols are the index, unless that holds Ensembl ids or numbers. Symbols may repeat where a column of ids
    distinguishes the genes.

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
        If features repeat and no column of ids distinguishes them.
    """
    index = texts(var.index)
    by_id = _share(_ENSEMBL, index) > 0.5
    numbered = len(index) > 0 and all(name.isdigit() for name in index[:_LOOKED_AT])
    ids, symbols = _column(var, ID_COLUMNS), _column(var, SYMBOL_COLUMNS)
    if numbered and symbols is None:  # a table whose rows were only counted
        found = read_gene_names(var)
        symbols = found.symbol if (found.symbol != "").any() else None
        ids = found.ensembl if ids is None and (found.ensembl != "").any() else ids
    names = symbols if symbols is not None and (by_id or numbered or prefer_columns) else index
    if by_id or (numbered and ids is None and symbols is not None):
        known = index if by_id else names
    else:
        known = index if ids is None else ids
    if ids is None and not by_id:
        check_unique(index[index != ""], "genes", where)
    # An index of ids is the id of a gene that its column of symbols does not name.
    table = pd.DataFrame({"id": known, "name": names}, dtype=object)
    types = _column(var, _TYPE_COLUMNS)
    table["type"] = control_types(table["name"].tolist(), _CONTROLS) if types is None else feature_kinds(types)
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
    turned = _share(_ENSEMBL, obs) > 0.5 or (_share(_BARCODE, var) > 0.5 and _share(_BARCODE, obs) < 0.5)
    if not turned and _share(_BARCODE, obs) < 0.5 and _share(_ENSEMBL, var) < 0.5 and len(obs) and len(var):
        turned = share_of_genes(var[:_FEW]) < 0.1 and share_of_genes(obs[:_FEW]) > 0.5
    if turned:
        raise BadInputError(
            f"{where}: the table is transposed: obs holds genes ({obs[0]!r}), var locations ({var[0]!r})"
            if len(obs) and len(var)
            else f"{where}: the table is transposed: obs holds genes, var locations",
            hint="write adata.T (locations × genes) instead",
        )


def _column(var: pd.DataFrame, names: Sequence[str]) -> np.ndarray | None:
    """The values of the first of `names` that the table has, without regard to case and punctuation."""
    plain: dict[str, int] = {}
    for place, column in enumerate(var.columns):
        plain.setdefault(re.sub(r"[^a-z0-9]", "", str(column).lower()), place)
    place = next((plain[name] for name in names if name in plain), None)
    return None if place is None else texts(var.iloc[:, place])


def _share(pattern: re.Pattern, names: np.ndarray) -> float:
    names = names[:_LOOKED_AT]
    return float(np.mean([bool(pattern.fullmatch(name)) for name in names])) if len(names) else 0.0

"""Tables of ligands and receptors: CellChatDB and CellPhoneDB as COMMOT packages them, or custom columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.regular import open_maybe_gzip

_OPTIONAL = ("pathway", "category")
_PACKAGED = ("ligand", "receptor", "pathway", "category")  # columns 0 to 3 of COMMOT's files


def read_pairs(path: Path) -> pd.DataFrame:
    """Read pairs of a ligand and a receptor.

    Parameters
    ----------
    path
        A ``.csv`` or ``.tsv`` with the columns ``ligand`` and ``receptor``, and if you like ``pathway`` and
        ``category``; or a file of COMMOT, whose columns are numbered. Subunits of a complex are joined by ``_``.

    Returns
    -------
    pandas.DataFrame
        Text columns ligand, receptor, pathway, category; the index is ``LIGAND^RECEPTOR``. Each pair once, sorted.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is no such table, or is empty.
    """
    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such file: {path}", hint="a .csv with the columns ligand and receptor")
    try:
        with open_maybe_gzip(path) as stream:
            table = pd.read_csv(
                stream, sep="\t" if path.suffix in (".tsv", ".txt") else ",", dtype=str, keep_default_na=False
            )
    except (ValueError, OSError, pd.errors.ParserError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise BadInputError(f"cannot read {path}: {reason}", hint="give a .csv") from error
    table.columns = [str(c).strip().lower() for c in table.columns]
    if "ligand" not in table and [c for c in table.columns if c.isdecimal()][:2] == ["0", "1"]:
        table = table.rename(columns={str(i): name for i, name in enumerate(_PACKAGED)})
    if not {"ligand", "receptor"} <= set(table.columns):
        shown = ", ".join(list(table.columns)[:6])
        raise BadInputError(
            f"{path} has no columns ligand and receptor (it has: {shown})", hint="name the columns in its first line"
        )
    found = pd.DataFrame({name: table[name].str.strip() for name in ("ligand", "receptor")})
    for name in _OPTIONAL:
        found[name] = table[name].str.strip().replace("nan", "") if name in table else ""
    found = found[(found["ligand"] != "") & (found["receptor"] != "")]
    if not len(found):
        raise BadInputError(f"{path} holds no pair")
    found.index = pd.Index(found["ligand"] + "^" + found["receptor"])
    found = found.sort_values(["ligand", "receptor", *_OPTIONAL], kind="stable")
    return found[~found.index.duplicated()].sort_index()


def subunits(name: str, genes: pd.Index) -> list[str]:
    """The genes of a ligand or receptor: itself where a gene has this name, else what ``_`` joins."""
    return [name] if name in genes else name.split("_")


def columns_of(table: pd.DataFrame, genes: pd.Index) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Columns of the subunits of every ligand and every receptor among `genes`; −1 for one that is not there."""

    def look(names: pd.Series) -> list[np.ndarray]:
        return [genes.get_indexer(pd.Index(subunits(name, genes))) for name in names]

    return look(table["ligand"]), look(table["receptor"])

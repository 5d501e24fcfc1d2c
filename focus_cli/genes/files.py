"""The genes of a file, whatever kind it is: a list, a table, an AnnData, a folder of FOCUS's own."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from focus_cli import keys
from focus_cli.errors import BadInputError, MissingResourceError

_HEADS = {
    "gene_ids",
    "gene_id",
    "ensembl_id",
    "ensembl_gene_id",
    "gene_symbols",
    "gene_symbol",
    "symbol",
    "gene_name",
    "feature_name",
}
_SYMBOL_HEADS = ("gene_symbols", "gene_symbol", "symbol", "gene_name", "feature_name")


def read_var(path: Path) -> pd.DataFrame:
    """The table of genes of a file, as ``var`` of an AnnData would hold it.

    Parameters
    ----------
    path
        A text file with a gene a line, or a table with a header that says which column is what; an .h5ad; a folder
        made by ``focus preprocess`` or ``focus reference``.

    Raises
    ------
    MissingResourceError
        If it is not there.
    BadInputError
        If it cannot be read, or holds no gene.
    """
    path = Path(path)
    if path.is_dir():
        inside = [path / name for name in (keys.COUNTS_H5AD, keys.CELLS_H5AD) if (path / name).is_file()]
        if not inside:
            raise BadInputError(
                f"{path} is neither a sample nor a reference of FOCUS",
                hint="for a raw folder see focus inspect; else give an .h5ad or a list of genes",
            )
        path = inside[0]
    if not path.is_file():
        raise MissingResourceError(f"no such file: {path}", hint="a list of genes, or an .h5ad")
    var = _var_of_h5ad(path) if path.suffix in (".h5ad", ".h5") else _var_of_text(path)
    if not len(var):
        raise BadInputError(f"{path} names no gene", hint="one gene name per line")
    return var


def _var_of_h5ad(path: Path) -> pd.DataFrame:
    import h5py
    from anndata.io import read_elem

    try:
        with h5py.File(path, "r") as file:
            var = read_elem(file["var"])
        if not isinstance(var, pd.DataFrame):
            raise ValueError("its var is no table")
        return var
    except Exception as error:  # h5py and anndata raise many kinds for a damaged file
        raise BadInputError(f"cannot read {path}: {error}".splitlines()[0], hint="is it a whole .h5ad file?") from error


def _var_of_text(path: Path) -> pd.DataFrame:
    try:
        lines = [line.rstrip("\r") for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} is not a text file", hint="one gene name per line, in UTF-8") from error
    rows = [[field.strip().strip('"') for field in re.split(r"\t|,", line)] for line in lines if line.strip()]
    if rows and _HEADS & set(rows[0]):
        head, *rows = rows
        rows = [row + [""] * (len(head) - len(row)) for row in rows]
        table = pd.DataFrame([row[: len(head)] for row in rows], columns=head).loc[:, lambda t: ~t.columns.duplicated()]
        named = next((c for c in _SYMBOL_HEADS if c in table), table.columns[0])
        return table.set_index(pd.Index(table[named].astype(str), name=None))
    return pd.DataFrame(index=pd.Index([row[0] for row in rows if row[0]], dtype=object))

"""The genes of a file, whatever kind it is: a list, a table, a panel, an AnnData, a folder of FOCUS's own."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.core.missing import texts
from focus_cli.core.storage.documents import read_json
from focus_cli.core.storage.hdf5 import open_hdf5
from focus_cli.core.storage.regular import LIMIT, open_maybe_gzip, require_regular
from focus_cli.genes.forms import split_names
from focus_cli.genes.identity import HEADS, read_gene_names

_HDF5, _ZIP, _PARQUET = b"\x89HDF", b"PK\x03\x04", b"PAR1"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_EXPRESSION = ("gene expression", "gene", "genes", "expression", "rna")
_TYPE_COLUMNS = ("featuretype", "featuretypes", "descriptor")
_HINT = "one gene name per line, or a table with a header, in UTF-8"


def read_var(path: Path) -> pd.DataFrame:
    """The table of genes of a file, as ``var`` of an AnnData would hold it.

    Parameters
    ----------
    path
        A text file with a gene a line, or a table with or without a header (tabs, commas or semicolons; also the
        features of a 10x matrix, and gene sets in a ``.gmt``), plain or gzipped; ``gene_panel.json`` of Xenium; an
        ``.h5ad``, or a 10x ``.h5``; a folder made by ``focus preprocess`` or ``focus reference``.

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
    if not path.exists():
        raise MissingResourceError(f"no such file: {path}", hint="a list of genes, or an .h5ad")
    with open(require_regular(path), "rb") as stream:
        first = stream.read(4)
    if first == _HDF5 or path.suffix in (".h5ad", ".h5"):
        var = _var_of_hdf5(path)
    elif path.name.lower().endswith(".json"):
        var = _var_of_json(read_json(path), path)
    elif first in (_ZIP, _PARQUET):
        kind = "a Parquet table" if first == _PARQUET else "a workbook or a zip archive"
        raise BadInputError(f"{path} is {kind}, not a text file", hint="save it as .csv")
    else:
        var = _var_of_text(read_text(path), path)
    if not len(var):
        raise BadInputError(f"{path} names no gene", hint=_HINT)
    return var


def read_gene_list(path: Path) -> pd.DataFrame:
    """The genes that a file names, each once, in its order; `read_var` lists which files can be read.

    Returns
    -------
    pandas.DataFrame
        Names as index: symbols as far as the file has them, else ids; ids ("" where there is none) under ``gene_ids``.

    Raises
    ------
    MissingResourceError, BadInputError
        As `read_var`.
    """
    var = read_var(path)
    names = read_gene_names(var)
    label = np.where(names.symbol != "", names.symbol, names.ensembl).astype(object)
    if not var.shape[1]:  # of a list every entry is a name, also one that is a number
        label = np.where(names.ensembl != "", label, texts(var.index))
    listed = pd.DataFrame({keys.GENE_ID: names.ensembl}, index=label)
    listed = listed[(listed.index != "") & ~listed.index.duplicated()]
    if not len(listed):
        raise BadInputError(f"{path} names no gene", hint=_HINT)
    return listed


def read_text(path: Path) -> str:
    """The text of a file of at most 64 MiB, gzipped or not, UTF-8 or UTF-16 with its mark.

    Raises
    ------
    MissingResourceError, BadInputError
        If it is not there, too large, damaged or no text.
    """
    try:
        with open_maybe_gzip(path) as stream:
            content = stream.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise BadInputError(f"{path} is too large for a list of genes", hint=_HINT)
        text = content.decode("utf-16" if content[:2] in _UTF16 else "utf-8-sig")
    except FocusError:
        raise
    except Exception as error:  # gzip and zlib raise many kinds for a damaged file
        raise BadInputError(f"{path} is not a text file", hint=_HINT) from error
    if re.search("[\x00-\x08\x0e-\x1f\ufeff]", text):
        raise BadInputError(f"{path} is not a text file", hint=_HINT)
    return text


def _var_of_hdf5(path: Path) -> pd.DataFrame:
    from anndata.io import read_elem

    try:
        with open_hdf5(path) as file:
            if "matrix/features" in file:
                features = file["matrix/features"]
                table = {name: features[name].asstr()[:] for name in ("id", "name", "feature_type") if name in features}
                return _expression(pd.DataFrame(table)) if table else pd.DataFrame()
            var = read_elem(file["var"])
        if not isinstance(var, pd.DataFrame):
            raise ValueError("its var is no table")
        return var
    except FocusError:
        raise
    except Exception as error:  # h5py and anndata raise many kinds for a damaged file
        raise BadInputError(f"cannot read {path}: {error}".splitlines()[0], hint="is it a whole .h5ad file?") from error


def _var_of_json(content: Any, path: Path) -> pd.DataFrame:
    """Genes of a Xenium panel, or of a plain list."""
    targets = content.get("payload", content) if isinstance(content, dict) else content
    if isinstance(targets, dict):
        targets = next((targets[name] for name in ("targets", "genes", "panel") if name in targets), None)
    if not isinstance(targets, list):
        raise BadInputError(f"{path} is no panel of genes", hint="gene_panel.json of Xenium, or a list of names")
    rows = []
    for target in targets:
        kind = target.get("type", target) if isinstance(target, dict) else target
        data = kind.get("data", kind) if isinstance(kind, dict) else {"name": kind}
        data = {str(k): str(v) for k, v in data.items() if isinstance(v, (str, int))} if isinstance(data, dict) else {}
        descriptor = kind.get("descriptor", "gene") if isinstance(kind, dict) else "gene"
        if data:
            rows.append(data | {"descriptor": str(descriptor)})
    return _expression(pd.DataFrame(rows).fillna("")) if rows else pd.DataFrame()


def _var_of_text(text: str, path: Path) -> pd.DataFrame:
    lines = [line.split("#")[0] if line.lstrip().startswith("#") else line for line in text.splitlines()]
    lines = [line for line in lines if line.strip()]
    if re.search(r"\.gmt(\.gz)?$", path.name.lower()):
        members = [name.strip() for line in lines for name in line.split("\t")[2:]]
        return _listed(dict.fromkeys(name for name in members if name))
    separator = _separator(lines)
    try:
        read = csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)
        rows = [[field.strip() for field in row] for row in read]
    except csv.Error as error:
        raise BadInputError(f"{path} is no table: {error}", hint=_HINT) from error
    rows = [row for row in rows if any(row)]
    if not rows:
        return pd.DataFrame()
    head = [_simple(field) for field in rows[0]]
    if HEADS & set(head) or (len(rows) > 1 and not rows[0][0] and any(rows[0])) or _shorter(rows):
        names, rows = rows[0], rows[1:]
        if _shorter([names, *rows]):
            names = ["", *names]  # R writes no name for the column of row names
    elif len(rows) == 1:
        return _listed(dict.fromkeys(field for field in rows[0] if field))
    else:
        names = [""] * max(map(len, rows))
    table = pd.DataFrame([(row + [""] * len(names))[: len(names)] for row in rows])
    return _expression(_named(table, names)) if rows else pd.DataFrame()


def _separator(lines: Sequence[str]) -> str:
    """What parts the fields: whichever of tab, semicolon and comma the first lines have most."""
    some = lines[:20]
    return max("\t;,", key=lambda sign: (sum(sign in line for line in some), sum(line.count(sign) for line in some)))


def _shorter(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has one field less than all others, as R writes a header."""
    return len(rows) > 1 and len(rows[0]) > 1 and all(len(row) == len(rows[0]) + 1 for row in rows[1:])


def _simple(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _listed(names) -> pd.DataFrame:
    # A comment may stand behind a name.
    return pd.DataFrame(index=pd.Index([str(name).split("#")[0].strip() for name in names], dtype=object))


def _named(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """A table whose columns without a name are called by what they hold."""
    found, ids, symbols = [], False, False
    for i, name in enumerate(names):
        if not name:
            parts = split_names(texts(table[i]))
            if (parts.ensembl != "").mean() > 0.5 and not ids:
                name, ids = keys.GENE_ID, True
            elif (parts.symbol != "").mean() > 0.5 and not symbols:
                name, symbols = keys.SYMBOL, True
            else:
                name = f"feature_type {i}" if _is_type(table[i]) else f"column {i}"
        found.append(name)
    table = table.set_axis(found, axis=1)
    return table.loc[:, ~table.columns.duplicated()]


def _is_type(column: pd.Series) -> bool:
    return bool(column.str.lower().isin(_EXPRESSION).any())


def _expression(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that are genes, without control probes and proteins, indexed by their names."""
    for i, column in enumerate(table.columns):
        name = _simple(re.sub(r" \d+$", "", str(column)))
        if name in _TYPE_COLUMNS and _is_type(kinds := table.iloc[:, i].astype(str)):
            table = table[kinds.str.lower().isin(_EXPRESSION)]
            break
    if table.shape[1] == 1:  # a list: its names are the index
        return _listed(table.iloc[:, 0])
    # Numbers as index: the columns are the names of the genes.
    table = table.set_axis([str(i) for i in range(len(table))], axis=0)
    names = read_gene_names(table)
    label = np.where(names.symbol != "", names.symbol, names.ensembl).astype(object)
    return table.set_axis(pd.Index(label, dtype=object), axis=0)[label != ""]

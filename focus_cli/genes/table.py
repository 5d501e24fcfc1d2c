"""The table of genes: Ensembl id, approved, previous and other symbols, and the one-to-one orthologue.

One table for each species travels with the package (``data/``, made by `make_table`); a file of the user's takes the
place of those of its species. docs/genes.md states where they come from and what the columns are.
"""

from __future__ import annotations

import io
import lzma
import os
import re
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from focus_cli.core.errors import BadInputError, MissingResourceError

if TYPE_CHECKING:
    import pandas as pd

SPECIES = ("human", "mouse")
ID_PREFIX = {"human": "ENSG", "mouse": "ENSMUSG"}
VARIABLE = "FOCUS_GENE_TABLE"  # names a user's table for every verb
AMBIGUOUS, UNKNOWN = -2, -1
_SEPARATOR = "|"
# Columns of a user's table, by FOCUS's name or by those of HGNC's own download.
_COLUMNS = {
    "species": ("species",),
    "ensembl_id": ("ensembl_id", "ensembl_gene_id"),
    "symbol": ("symbol",),
    "previous": ("previous", "prev_symbol"),
    "alias": ("alias", "alias_symbol"),
    "orthologue": ("orthologue",),
}
_MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class GeneTable:
    """The genes of one species.

    Attributes
    ----------
    species
        "human" or "mouse".
    ensembl, symbol
        str arrays, one entry per gene; an empty string where there is none.
    previous, alias
        Other symbols of each gene, parted by ``|``.
    orthologue
        Ensembl id of the gene's one-to-one orthologue in the other species, or an empty string.
    """

    species: str
    ensembl: np.ndarray
    symbol: np.ndarray
    previous: np.ndarray
    alias: np.ndarray
    orthologue: np.ndarray

    def __len__(self) -> int:
        return len(self.symbol)

    @cached_property
    def by_id(self) -> dict[str, int]:
        """Row of each Ensembl id; the first one of several."""
        return {name: row for row, name in reversed(list(enumerate(self.ensembl.tolist()))) if name}

    @cached_property
    def by_symbol(self) -> dict[str, int]:
        """Row of each approved symbol; of several genes the first, which is the nomenclature's own."""
        return {name: row for row, name in reversed(list(enumerate(self.symbol.tolist()))) if name}

    @cached_property
    def by_previous(self) -> dict[str, int]:
        """Row of each previous symbol, or `AMBIGUOUS` where several genes bore it."""
        return _unambiguous(self.previous, self.symbol)

    @cached_property
    def by_alias(self) -> dict[str, int]:
        """Row of each alias, or `AMBIGUOUS` where several genes bear it."""
        return _unambiguous(self.alias, self.symbol)

    @cached_property
    def by_spelling(self) -> dict[str, int]:
        """Row of each approved symbol in plain spelling (see `plain`), or `AMBIGUOUS`."""
        found: dict[str, int] = {}
        for name, row in self.by_symbol.items():
            key = plain(name)
            found[key] = row if found.get(key, row) == row else AMBIGUOUS
        return found

    @cached_property
    def known_names(self) -> frozenset[str]:
        """Every symbol, previous symbol and alias."""
        return frozenset(self.by_symbol.keys() | self.by_previous.keys() | self.by_alias.keys())

    def candidates(self, name: str) -> list[str]:
        """Approved symbols (else ids) of the genes that a name may mean, sorted."""
        rows = [
            row
            for row, (previous, alias) in enumerate(zip(self.previous, self.alias))
            if (name in previous and name in previous.split(_SEPARATOR))
            or (name in alias and name in alias.split(_SEPARATOR))
        ]
        if name in self.by_symbol:
            rows.append(self.by_symbol[name])
        return sorted({str(self.symbol[row] or self.ensembl[row]) for row in rows})


def plain(name: str) -> str:
    """A symbol without what programs do to it: letter case, and the dot that R puts in the place of a hyphen."""
    return name.upper().replace(".", "-").replace("_", "-")


def _unambiguous(column: np.ndarray, symbol: np.ndarray) -> dict[str, int]:
    """Row of each name; rows of one symbol (a gene with two ids) are one gene, of which the first is meant."""
    found: dict[str, int] = {}
    for row, names in enumerate(column.tolist()):
        if names:
            for name in names.split(_SEPARATOR):
                first = found.setdefault(name, row) if name else row
                if first not in (row, AMBIGUOUS) and not (symbol[row] and symbol[row] == symbol[first]):
                    found[name] = AMBIGUOUS
    return found


def _from_frame(frame: pd.DataFrame, species: str) -> GeneTable:
    columns = {name: frame[name].to_numpy(str) for name in ("ensembl_id", "symbol", "previous", "alias", "orthologue")}
    return GeneTable(species, columns.pop("ensembl_id"), **columns)


@lru_cache(maxsize=2)
def _shipped(species: str) -> GeneTable:
    import pandas as pd

    data = (resources.files("focus_cli.genes") / "data" / f"{species}.tsv.xz").read_bytes()
    frame = pd.read_csv(io.BytesIO(lzma.decompress(data)), sep="\t", dtype=str, keep_default_na=False, quoting=3)
    return _from_frame(frame, species)


def read_gene_table(path: Path) -> dict[str, GeneTable]:
    """Read a table of the user's: text with a header, parted by tabs or commas, plain or compressed.

    Parameters
    ----------
    path
        Columns ``symbol`` and, where they are known, ``ensembl_id``, ``previous``, ``alias`` (several parted by
        ``|``), ``orthologue`` and ``species``; without the last, the ids decide. HGNC's own download is understood.

    Returns
    -------
    Species → table.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is no such table.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise MissingResourceError(f"no such gene table: {path}", hint="a .tsv with the columns of docs/genes.md")
    hint = "tabs or commas, a header with symbol, ensembl_id, previous, alias, orthologue (docs/genes.md)"
    if path.stat().st_size > _MAX_BYTES:
        raise BadInputError(f"{path}: a gene table of {path.stat().st_size:,} bytes is too large", hint=hint)
    separator = "," if re.search(r"\.csv(\.\w+)?$", path.name) else "\t"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            frame = pd.read_csv(
                path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False
            )
    except Exception as error:  # pandas, gzip and lzma raise many kinds for a damaged file
        raise BadInputError(f"cannot read the gene table {path}: {error}".splitlines()[0], hint=hint) from error
    found = {}
    for name, known in _COLUMNS.items():
        column = next((c for c in known if c in frame), None)
        values = frame[column].fillna("").astype(str).str.strip() if column else pd.Series("", index=frame.index)
        found[name] = values.str.strip('"')
    table = pd.DataFrame(found)
    if not (table["symbol"] != "").any():
        raise BadInputError(f"{path}: no column symbol with gene symbols in it", hint=hint)
    table["ensembl_id"] = table["ensembl_id"].str.split(".").str[0]
    if (table["species"] == "").all():
        for species, prefix in ID_PREFIX.items():
            table.loc[table["ensembl_id"].str.match(rf"{prefix}\d"), "species"] = species
        stated = table.loc[table["species"] != "", "species"].unique()
        if len(stated) == 1:
            table["species"] = stated[0]
    foreign = table.loc[~table["species"].isin(SPECIES), "species"]
    if len(foreign):
        shown = repr(foreign.iloc[0]) if foreign.iloc[0] else "none"
        raise BadInputError(
            f"{path}: {len(foreign):,} genes have the species {shown}, not {' or '.join(SPECIES)}",
            hint="add a column species, or Ensembl ids",
        )
    return {name: _from_frame(part, name) for name, part in table.groupby("species", sort=True)}


class _InUse:
    """The user's table of this process: a file, and what was read from it."""

    path: Path | None = None
    tables: dict[str, GeneTable] = {}  # noqa: RUF012


def use_gene_table(path: Path | None) -> None:
    """Let a user's table take the place of the shipped ones of its species; None brings those back.

    Without a call the environment variable ``FOCUS_GENE_TABLE`` may name one.
    """
    tables = read_gene_table(path) if path is not None else {}
    _InUse.path, _InUse.tables = (Path(path) if path is not None else None), tables


def _in_use() -> type[_InUse]:
    named = os.environ.get(VARIABLE)
    if _InUse.path is None and named:
        use_gene_table(Path(named))
    return _InUse


def gene_table_inputs() -> dict[str, Path]:
    """Role → file of the user's table, for provenance; empty where there is none."""
    path = _in_use().path
    return {"gene_table": path} if path is not None else {}


def load_table(species: str) -> GeneTable:
    """The table of a species: the user's, else the shipped one."""
    return _in_use().tables.get(species) or _shipped(species)

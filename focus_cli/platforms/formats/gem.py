"""GEM: Stereo-seq's UMIs as text, one line for each gene on each nanoball."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.platforms.checks import GENE_EXPRESSION
from focus_cli.platforms.dnb import MOST_DNB, MOST_GENES, Measured, Sums, bin_corners, bin_places, whole, whole_counts
from focus_cli.platforms.formats.opening import DAMAGE, damaged, open_maybe_gzip

_ROWS = 2_000_000  # lines at a time
_LINE = 1 << 16


class Column(StrEnum):
    """Columns; `_ALIASES` holds the names of each in all versions, in lower case without underscores."""

    GENE = "geneID"
    NAME = "geneName"
    X = "x"
    Y = "y"
    COUNT = "MIDCount"
    CELL = "CellID"


class Header(StrEnum):
    """Lines before the columns: ``#OffsetX=0``."""

    FORMAT = "FileFormat"
    BIN = "BinSize"
    OMICS = "Omics"
    OFFSET_X = "OffsetX"
    OFFSET_Y = "OffsetY"


_ALIASES = {
    Column.GENE: ("geneid", "gene", "genes"),
    Column.NAME: ("genename",),
    Column.X: ("x",),
    Column.Y: ("y",),
    Column.COUNT: ("midcount", "midcounts", "umicount", "umicounts", "count", "counts"),
    Column.CELL: ("cellid", "cell", "label", "celllabel"),
}
# What stands for "in no cell".
_OUTSIDE = frozenset({"", "0", "-1", "0.0", "NA", "nan", "NaN"})


@dataclass(frozen=True)
class GemHeader:
    """Where the columns are, and the content of the lines before them."""

    columns: dict[Column, int]
    width: int
    values: dict[str, str]

    def offset(self, key: Header, where: str) -> int:
        """A number of the header, 0 where it is not given."""
        text = self.values.get(key.lower(), "0")
        try:
            return int(float(text))
        except (ValueError, OverflowError):
            raise BadInputError(f"{where}: #{key}={text[:20]} is no number", hint="restore the header") from None


def gem_header(path: Path) -> GemHeader | None:
    """The header of a GEM file, None if it is none."""
    try:
        with open_maybe_gzip(path) as stream:
            found = _read_header(stream)
            return found[0] if found is not None else None
    except DAMAGE:
        return None


def _read_header(stream) -> tuple[GemHeader, str] | None:
    values: dict[str, str] = {}
    for _ in range(1000):
        line = stream.readline(_LINE).decode("utf-8-sig")
        if not line.startswith("#"):
            break
        key, equals, value = line[1:].strip().partition("=")
        if equals:
            values[key.strip().lower()] = value.strip()
    sep = max("\t,;", key=line.count)
    names = [word.strip().strip('"') for word in line.rstrip("\r\n").split(sep)]
    lower = [name.lower().replace("_", "") for name in names]
    columns = {}
    for column, aliases in _ALIASES.items():
        at = next((lower.index(a) for a in aliases if a in lower), None)
        if at is not None:
            columns[column] = at
    if Column.GENE not in columns and Column.NAME in columns:
        columns[Column.GENE] = columns.pop(Column.NAME)
    if not {Column.GENE, Column.X, Column.Y, Column.COUNT} <= columns.keys():
        return None
    return GemHeader(columns, len(names), values), sep


class _Names:
    """Words numbered in the order in which they first come."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, words: pd.Series) -> np.ndarray:
        codes, known = pd.factorize(words)
        return np.array([self.numbers.setdefault(str(w), len(self.numbers)) for w in known], np.int64)[codes]


def _blocks(path: Path) -> Iterator[tuple[GemHeader, pd.DataFrame]]:
    """Blocks of lines, columns named by `Column`.

    Raises
    ------
    BadInputError
        If it is damaged or no GEM file.
    """
    try:
        with open_maybe_gzip(path) as stream:
            found = _read_header(stream)
            if found is None:
                raise BadInputError(
                    f"{path}: columns {Column.GENE}, {Column.X}, {Column.Y} or {Column.COUNT} are missing",
                    hint="give a GEM file as SAW writes it",
                )
            header, sep = found
            order = sorted(header.columns, key=header.columns.__getitem__)
            text = (Column.GENE, Column.NAME, Column.CELL)
            reader = pd.read_csv(
                stream,
                sep=sep,
                header=None,
                names=range(header.width),
                usecols=[header.columns[c] for c in order],
                dtype={at: str if c in text else np.float64 for c, at in header.columns.items()},
                keep_default_na=False,
                chunksize=_ROWS,
                index_col=False,
            )
            for block in reader:
                yield header, block.rename(columns={at: str(c) for c, at in header.columns.items()})
    except pd.errors.EmptyDataError as error:
        raise BadInputError(f"{path}: it holds no counts", hint="copy or download the file again") from error
    except BadInputError:
        raise
    except (*DAMAGE, TypeError, MemoryError, OverflowError) as error:
        raise damaged(path, error) from error


def read_gem(path: Path, size: int | None, default_size: int) -> Measured:
    """Read a GEM file as bins, or as cells where it has a column of them.

    Parameters
    ----------
    path
        The file, gzipped or not.
    size
        Side of a bin in nanoballs. None: cells, where there is such a column, else bins of `default_size`.

    Raises
    ------
    BadInputError
        If it is damaged.
    UsageError
        If the file was binned already and `size` is no multiple of its bins.
    """
    genes, cells, sums = _Names(), _Names(), Sums()
    names: dict[int, str] = {}
    moments = np.zeros((0, 3))
    outside = 0
    by_cell, version, kind = False, "", GENE_EXPRESSION
    for header, block in _blocks(path):
        x, y = (whole(block[c].to_numpy(), str(c), path.name, MOST_DNB) for c in (Column.X, Column.Y))
        count = whole_counts(block[Column.COUNT].to_numpy(), str(Column.COUNT), path.name)
        x = whole(x + header.offset(Header.OFFSET_X, path.name), "x + OffsetX", path.name, MOST_DNB - 1)
        y = whole(y + header.offset(Header.OFFSET_Y, path.name), "y + OffsetY", path.name, MOST_DNB - 1)
        gene = genes.of(block[Column.GENE])
        if len(genes.numbers) > MOST_GENES:
            raise BadInputError(f"{path.name}: more than {MOST_GENES} genes", hint="is its first column the gene?")
        if Column.NAME in block:
            seen, first = np.unique(gene, return_index=True)
            for g, i in zip(seen.tolist(), first.tolist()):
                names.setdefault(g, block[Column.NAME].iat[i])
        version = header.values.get(Header.FORMAT.lower(), "").removeprefix("GEMv")
        if header.values.get(Header.OMICS.lower(), "").lower().startswith("prot"):
            kind = "Antibody Capture"
        by_cell = size is None and Column.CELL in block
        if by_cell:
            inside = ~block[Column.CELL].str.strip().isin(_OUTSIDE).to_numpy()
            outside += int(count[~inside].sum())
            x, y, gene, count = x[inside], y[inside], gene[inside], count[inside]
            place = cells.of(block[Column.CELL].str.strip()[inside])
            moments = _add_moments(moments, place, x, y, len(cells.numbers))
            sums.add(place, gene, count)
        else:
            sums.add(bin_places(x, y, _bin_size(header, size or default_size, path)), gene, count)
    if not genes.numbers:
        raise BadInputError(f"{path}: it holds no counts", hint="copy or download the file again")
    places, counts = sums.finish(len(genes.numbers))
    if not len(places):
        raise BadInputError(f"{path}: no counts lie in a cell", hint="give --bin-um to read bins")
    ids = list(genes.numbers)
    table = pd.DataFrame({"id": ids, "name": [names.get(i) or g for i, g in enumerate(ids)], "type": kind})
    notes = [f"{outside} UMIs outside cells were left out"] if outside else []
    if not by_cell:
        side = size or default_size
        corner = bin_corners(places, side)
        labels = [f"{x}_{y}" for x, y in corner.tolist()]
        return Measured(labels, corner + side / 2, counts, table, side, version=version, warnings=notes)
    labels = np.array(list(cells.numbers), dtype=object)[places]
    xy = moments[places, :2] / moments[places, 2:]
    order = _natural(labels)
    return Measured(labels[order].tolist(), xy[order], counts[order], table, None, version=version, warnings=notes)


def _bin_size(header: GemHeader, size: int, path: Path) -> int:
    """`size`, after checking that the file's own bins fit into it."""
    text = header.values.get(Header.BIN.lower(), "1")
    own = int(text) if text.isdecimal() and len(text) < 7 else 1
    if own > 1 and size % own:
        raise UsageError(
            f"{path.name} was binned by {own} nanoballs already, {size} is no multiple of it",
            hint="choose a multiple with --bin-um, or give the file with bins of 1",
        )
    return size


def _add_moments(moments: np.ndarray, place: np.ndarray, x: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    """Add the lines of every cell to the sums of x + ½, y + ½ and 1."""
    if len(moments) < n:
        moments = np.vstack([moments, np.zeros((max(n, 2 * len(moments)) - len(moments), 3))])
    for k, values in enumerate((x + 0.5, y + 0.5, np.ones(len(x)))):
        moments[:, k] += np.bincount(place, weights=values, minlength=len(moments))
    return moments


def _natural(labels: np.ndarray) -> np.ndarray:
    """Order of cell ids: by number where all are numbers, else as text."""
    numbers = pd.to_numeric(pd.Series(labels), errors="coerce")
    return np.argsort(labels.astype(str) if numbers.isna().any() else numbers.to_numpy(), kind="stable")

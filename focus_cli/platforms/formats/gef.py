"""GEF: Stereo-seq's UMIs as HDF5, in square bins or by cell, read without the vendor's library.

Fields differ: ``gene`` names a gene by one word up to version 3, ``geneID`` and ``geneName`` from version 4.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.storage.hdf5 import open_hdf5
from focus_cli.platforms.checks import GENE_EXPRESSION
from focus_cli.platforms.dnb import MOST_DNB, MOST_GENES, Measured, Sums, bin_corners, bin_places, whole, whole_counts
from focus_cli.platforms.formats.opening import DAMAGE, damaged

_ROWS = 2_000_000


class Path5(StrEnum):
    """Groups and data sets."""

    SQUARE = "geneExp"
    EXPRESSION = "expression"
    GENE = "gene"
    CELLS = "cellBin"
    CELL = "cellBin/cell"
    CELL_EXP = "cellBin/cellExp"
    CELL_GENE = "cellBin/gene"


class Field(StrEnum):
    """Fields of the compound types, and attributes."""

    X = "x"
    Y = "y"
    COUNT = "count"
    OFFSET = "offset"
    GENE = "gene"
    GENE_ID = "geneID"
    GENE_NAME = "geneName"
    CELL_ID = "id"
    GENE_COUNT = "geneCount"
    AREA = "area"
    RESOLUTION = "resolution"
    VERSION = "version"
    OMICS = "omics"


@contextmanager
def _opened(path: Path):
    try:
        with open_hdf5(path) as file:
            yield file
    except (BadInputError, UsageError):
        raise
    except (*DAMAGE, TypeError, MemoryError, OverflowError, AttributeError) as error:
        raise damaged(path, error) from error


def holds_cells(path: Path) -> bool:
    """Whether a GEF file is by cell and has no square bins.

    Raises
    ------
    BadInputError
        If it is damaged or neither.
    """
    with _opened(path) as file:
        if Path5.SQUARE in file:
            return False
        if Path5.CELLS in file:
            return True
    raise BadInputError(
        f"{path}: neither {Path5.SQUARE} nor {Path5.CELLS} is in it", hint="give a GEF file as SAW writes it"
    )


def _attribute(thing: h5py.HLObject, name: str) -> float | None:
    value = np.asarray(thing.attrs[name]).ravel() if name in thing.attrs else ()
    number = float(value[0]) if len(value) and np.asarray(value).dtype.kind in "iuf" else None
    return number if number is not None and np.isfinite(number) else None


def _facts(file: h5py.File, at: h5py.HLObject, path: Path) -> tuple[float, str, str, list[str]]:
    """nm between nanoballs, version, type of the features, warnings."""
    nm = _attribute(at, Field.RESOLUTION) or _attribute(file, Field.RESOLUTION) or 500.0
    notes = []
    if not 100 <= nm <= 5000:
        notes.append(f"{path.name}: a resolution of {nm:g} nm is none of a chip: 500 nm is taken")
        nm = 500.0
    version = _attribute(file, Field.VERSION)
    omics = np.asarray(file.attrs[Field.OMICS]).ravel() if Field.OMICS in file.attrs else ()
    word = _words(np.asarray(omics))[0].lower() if len(omics) else ""
    return nm, f"{version:g}" if version is not None else "", _type(word), notes


def _type(omics: str) -> str:
    return "Antibody Capture" if omics.startswith("prot") else GENE_EXPRESSION


def _words(values: np.ndarray) -> list[str]:
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values.tolist()]


def _dataset(group: h5py.Group, name: str, fields: tuple[str, ...], path: Path) -> h5py.Dataset:
    found = group.get(name)
    if not isinstance(found, h5py.Dataset) or found.ndim != 1 or not set(fields) <= set(found.dtype.names or ()):
        raise BadInputError(
            f"{path}: {group.name.rstrip('/')}/{name} has no fields {', '.join(fields)}",
            hint="give a GEF file as SAW writes it",
        )
    return found


def _genes(table: np.ndarray, kind: str, path: Path) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """The features, to which of them each row of the file belongs, and what was merged.

    Rows without a name hold no UMI in the vendor's files; they and genes that share their only name
    become one.
    """
    fields = table.dtype.names
    id_field = next((f for f in (Field.GENE_ID, Field.GENE, Field.GENE_NAME) if f in fields), None)
    if id_field is None:
        raise BadInputError(f"{path}: its genes have no name ({', '.join(fields)})", hint="give SAW's own file")
    name_field = next(f for f in (Field.GENE_NAME, Field.GENE, Field.GENE_ID) if f in fields)
    ids = _words(table[id_field])
    names = _words(table[name_field])
    codes, first = np.zeros(len(ids), np.int64), {}
    for i, word in enumerate(ids):
        codes[i] = first.setdefault(word, len(first))
    at = np.unique(codes, return_index=True)[1] if len(ids) else []
    notes = []
    shared = len(ids) - len(first)
    if shared:
        notes.append(f"{path.name}: {shared} genes have the id of another; their counts were added to it")
    features = pd.DataFrame({"id": list(first), "name": [names[i] or ids[i] for i in at], "type": kind})
    if len(features) > MOST_GENES:
        raise BadInputError(f"{path}: more than {MOST_GENES} genes", hint="give SAW's own file")
    return features, codes, notes


def _drop_nameless(measured: Measured, path: Path) -> Measured:
    nameless = (measured.genes["id"].str.strip() == "").to_numpy()
    if nameless.any():
        lost = int(measured.counts[:, np.flatnonzero(nameless)].sum())
        if lost:
            measured.warnings.append(f"{path.name}: {lost} UMIs of genes without a name were left out")
        measured.counts = measured.counts[:, np.flatnonzero(~nameless)]
        measured.genes = measured.genes[~nameless].reset_index(drop=True)
    return measured


def read_square(path: Path, size: int) -> Measured:
    """Sum the finest bins of a square-bin GEF file to bins of `size` nanoballs.

    Raises
    ------
    BadInputError
        If it is damaged.
    UsageError
        If the file has no bins that divide `size`.
    """
    with _opened(path) as file:
        group, own = _finest(file[Path5.SQUARE], size, path)
        expression = _dataset(group, Path5.EXPRESSION, (Field.X, Field.Y, Field.COUNT), path)
        table = _dataset(group, Path5.GENE, (Field.COUNT,), path)[:]
        nm, version, kind, notes = _facts(file, expression, path)
        features, codes, more = _genes(table, kind, path)
        n = len(expression)
        ends = np.cumsum(whole(table[Field.COUNT], "gene count", path.name, n))
        if (len(ends) and ends[-1] != n) or (not len(ends) and n):
            raise damaged(path, ValueError(f"its genes count {ends[-1] if len(ends) else 0} of {n} rows"))
        if Field.OFFSET in table.dtype.names and np.any(table[Field.OFFSET][1:] != ends[:-1]):
            raise damaged(path, ValueError("the offsets of its genes do not follow each other"))
        shift = _origin(expression, path)
        sums = Sums()
        for start in range(0, n, _ROWS):
            rows = expression[start : start + _ROWS]
            row = np.searchsorted(ends, np.arange(start, start + len(rows)), side="right")
            x, y = (
                whole(
                    whole(rows[f], str(f), path.name, MOST_DNB) + by, f"{f} + min{f.upper()}", path.name, MOST_DNB - 1
                )
                for f, by in zip((Field.X, Field.Y), shift)
            )
            if own > 1 and (np.any((x - shift[0]) % own) or np.any((y - shift[1]) % own)):
                raise BadInputError(f"{path}: {group.name} holds no corners of bins", hint="give a file with bin1")
            sums.add(bin_places(x, y, size), codes[row], whole_counts(rows[Field.COUNT], "count", path.name))
        places, counts = sums.finish(len(features))
    corner = bin_corners(places, size)
    labels = [f"{x}_{y}" for x, y in corner.tolist()]
    measured = Measured(
        labels, corner + size / 2, counts, features, size, nm=nm, version=version, warnings=notes + more
    )
    return _drop_nameless(measured, path)


def _finest(group: h5py.Group, size: int, path: Path) -> tuple[h5py.Group, int]:
    """``bin1``, else the finest bins that divide `size`."""
    known = sorted(int(k[3:]) for k in group if k.startswith("bin") and k[3:].isdecimal() and len(k) < 10)
    own = next((n for n in known if n > 0 and size % n == 0), None)
    if own is None:
        raise UsageError(
            f"{path.name} has bins of {', '.join(map(str, known)) or 'no'} nanoballs, {size} is no multiple of them",
            hint="choose another --bin-um",
        )
    found = group[f"bin{own}"]
    if not isinstance(found, h5py.Group):
        raise BadInputError(f"{path}: {found.name} is no group", hint="give a GEF file as SAW writes it")
    return found, own


def _origin(expression: h5py.Dataset, path: Path) -> tuple[int, int]:
    """What to add to the file's coordinates to count from the chip's origin.

    ``minX`` and ``minY`` state where the data begin. Some versions store what lies beyond that, others the
    place on the chip; the coordinates themselves show which.
    """
    low = [_attribute(expression, k) or 0.0 for k in ("minX", "minY")]
    if not any(low) or not len(expression):
        return 0, 0
    high = [_attribute(expression, k) for k in ("maxX", "maxY")]
    seen_low, seen_high = np.full(2, np.inf), np.zeros(2)
    for start in range(0, len(expression), _ROWS):
        rows = expression[start : start + _ROWS]
        for k, f in enumerate((Field.X, Field.Y)):
            seen_low[k] = min(seen_low[k], float(rows[f].min()))
            seen_high[k] = max(seen_high[k], float(rows[f].max()))
    within = all(h is not None for h in high)
    relative = (
        all(seen_high[k] <= high[k] - low[k] for k in (0, 1)) if within else bool(np.any(seen_low < np.array(low)))
    )
    return (int(low[0]), int(low[1])) if relative else (0, 0)


def read_cells(path: Path) -> Measured:
    """Read a cell-bin GEF file.

    Raises
    ------
    BadInputError
        If it is damaged.
    """
    with _opened(path) as file:
        group = file[Path5.CELLS]
        wanted = (Field.X, Field.Y, Field.OFFSET, Field.GENE_COUNT)
        cells = _dataset(group, "cell", wanted, path)[:]
        table = _dataset(group, "gene", (), path)[:]
        exp = _dataset(group, "cellExp", (Field.GENE_ID, Field.COUNT), path)
        nm, version, kind, notes = _facts(file, file, path)
        features, codes, more = _genes(table, kind, path)
        n = len(exp)
        length = whole(cells[Field.GENE_COUNT], "geneCount", path.name, n)
        offset = whole(cells[Field.OFFSET], "offset", path.name, n)
        indptr = np.concatenate([[0], np.cumsum(length)])
        if indptr[-1] != n or np.any(offset[length > 0] != indptr[:-1][length > 0]):
            raise damaged(path, ValueError("the offsets of its cells do not follow each other"))
        rows = exp[:]
        gene = whole(rows[Field.GENE_ID], "geneID", path.name, max(len(table) - 1, 0))
        count = whole_counts(rows[Field.COUNT], "count", path.name)
        names = cells[Field.CELL_ID] if Field.CELL_ID in cells.dtype.names else np.arange(len(cells))
        area = cells[Field.AREA].astype(np.float64) if Field.AREA in cells.dtype.names else None
    counts = sparse.csr_matrix((count, codes[gene], indptr), shape=(len(cells), len(features)))
    counts.sum_duplicates()
    xy = np.stack([cells[Field.X], cells[Field.Y]], axis=1).astype(np.float64) + 0.5
    measured = Measured([str(v) for v in names.tolist()], xy, counts, features, None, area, nm, version, notes + more)
    return _drop_nameless(measured, path)

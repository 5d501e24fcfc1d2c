"""osmFISH: one loom file (HDF5) of genes × cells, as the authors of the method publish it.

Positions are pixels of the stitched image; the file states each cell's area both in pixels and in µm², which gives
µm per pixel (0.065 in Codeluppi et al. 2018, *Nature Methods* 15:932).
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.storage import PlatformInfo
from focus_cli.core.storage.hdf5 import open_hdf5
from focus_cli.platforms import pitch
from focus_cli.platforms.assemble import assemble, cell_footprint, choose_he
from focus_cli.platforms.checks import GENE_EXPRESSION, check_positions, check_unique
from focus_cli.platforms.formats.opening import damaged
from focus_cli.platforms.sample import Detection, RawSample

NAME = "osmfish"
LOOKS_FOR = "a .loom file with col_attrs X and Y (osmFISH)"
_BLOCK_VALUES = 4_000_000


class File(StrEnum):
    """Endings of file names."""

    LOOM = ".loom"


class Column(StrEnum):
    """Places in the loom file: `matrix` is genes × cells."""

    MATRIX = "matrix"
    GENE = "row_attrs/Gene"
    ACCESSION = "row_attrs/Accession"
    CELL = "col_attrs/CellID"
    X = "col_attrs/X"
    Y = "col_attrs/Y"
    VALID = "col_attrs/Valid"
    AREA_PX = "col_attrs/size_pix"
    AREA_UM2 = "col_attrs/size_um2"
    TYPE = "col_attrs/ClusterName"
    REGION = "col_attrs/Region"


# Where the columns that are kept go.
_KEPT = {Column.AREA_UM2: "area_um2", Column.TYPE: keys.CELL_TYPE, Column.REGION: "region"}


def find_files(path: Path) -> list[Path]:
    """The loom file that `path` is, or those in the folder that it is."""
    if path.is_file():
        return [path] if path.name.lower().endswith(File.LOOM) else []
    return sorted(p for p in path.glob(f"*{File.LOOM}") if p.is_file()) if path.is_dir() else []


def detect(path: Path) -> Detection | None:
    """Recognise a loom file by its name's ending."""
    files = find_files(path)
    return Detection(NAME, "", (files[0].name,)) if files else None


def read(path: Path, *, image: Path | None = None, mpp: float | None = None) -> RawSample:
    """Read a loom file of osmFISH.

    Cells that the file marks as not valid are left out: their positions and counts are not to be used.

    Parameters
    ----------
    path
        The ``.loom`` file, or a folder with no other.
    image
        The H&E; otherwise one is looked for in the same folder.
    mpp
        µm per pixel; otherwise from the areas of the cells, stated in pixels and in µm².

    Raises
    ------
    UsageError
        If the folder holds several loom files.
    MissingResourceError
        If µm per pixel is unknown.
    BadInputError
        If the file is damaged or its content cannot be used.
    """
    files = find_files(Path(path))
    if not files:
        raise BadInputError(f"{path}: no {File.LOOM} file", hint=f"give {LOOKS_FOR}")
    if len(files) > 1:
        raise UsageError(f"{path} holds several loom files", hint=f"give one of them, for instance {files[0]}")
    file = files[0]
    try:
        with open_hdf5(file) as loom:
            columns = {place: _column(loom, place) for place in Column if place != Column.MATRIX and place in loom}
            _need(file, loom, columns)
            counts = _counts(loom[Column.MATRIX])
    except BadInputError:
        raise
    except Exception as error:  # h5py raises almost anything on a damaged file
        raise damaged(file, error) from error
    n = counts.shape[0]
    cells = {k: v for k, v in columns.items() if not k.startswith("row_attrs")}
    short = [str(k) for k, v in cells.items() if v.shape != (n,)]
    genes = columns[Column.GENE].astype(str)
    if short or genes.shape != (counts.shape[1],):
        raise damaged(file, ValueError(f"{short[0] if short else Column.GENE} does not fit the matrix"))
    cells, genes = {k: _typed(file, k, v) for k, v in cells.items()}, list(genes)
    warnings, names = [], cells[Column.CELL]
    if Column.VALID in cells:
        valid = cells[Column.VALID] == 1
        if not valid.any():
            raise BadInputError(f"{file}: no cell is valid", hint=f"check {Column.VALID} of the file")
        if not valid.all():
            warnings.append(f"{int((~valid).sum())} of {n} cells are not valid ({Column.VALID} is 0) and were left out")
            cells, counts = {k: v[valid] for k, v in cells.items()}, counts[np.flatnonzero(valid)]
            names = cells[Column.CELL]
    xy = np.column_stack([cells[Column.X], cells[Column.Y]])
    check_positions(xy, file.name)
    check_unique(names, "cells", file.name)
    scale, notes = pitch.choose_mpp(given=mpp, vendor=_stated_mpp(cells), fit=None, where=file.name)
    ids = columns.get(Column.ACCESSION, columns[Column.GENE]).astype(str)
    footprint = cell_footprint(xy * scale, cells.get(Column.AREA_UM2))
    return assemble(
        platform=PlatformInfo(
            name=NAME,
            technology="imaging",
            chemistry="single-molecule FISH, cyclic",
            preservation="fresh frozen",
            resolution_um=footprint.size_um,
        ),
        counts=counts,
        names=names,
        genes=pd.DataFrame({"id": list(ids), "name": genes, "type": GENE_EXPRESSION}),
        xy_px=xy,
        mpp=scale,
        footprint=footprint,
        where=file.name,
        inputs={"matrix": file},
        warnings=warnings + notes,
        obs=pd.DataFrame({name: cells[k] for k, name in _KEPT.items() if k in cells}, index=names),
        image=choose_he(image, [file.parent]),
    )


def _need(file: Path, loom: h5py.File, columns: dict[str, np.ndarray]) -> None:
    for place in (Column.MATRIX, Column.GENE, Column.CELL, Column.X, Column.Y):
        if place not in loom:
            raise BadInputError(f"{file}: {place} is missing", hint=f"give {LOOKS_FOR}")
    if Column.ACCESSION in columns and columns[Column.ACCESSION].shape != columns[Column.GENE].shape:
        raise ValueError(f"{Column.ACCESSION} does not fit {Column.GENE}")


def _column(loom: h5py.File, place: str) -> np.ndarray:
    """A column of text (object) or of numbers."""
    values = loom[place][:]
    if values.dtype.kind in "SO":
        values = np.array(
            [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values.ravel()], dtype=object
        ).reshape(values.shape)
    return values


def _typed(file: Path, place: str, values: np.ndarray) -> np.ndarray:
    if place in (Column.CELL, Column.TYPE, Column.REGION):
        return values.astype(str).astype(object)
    if values.dtype.kind not in "fiub":
        raise BadInputError(f"{file}: {place} is not numeric", hint="restore the loom file")
    return values.astype(np.float64)


def _counts(matrix: h5py.Dataset) -> sparse.csr_matrix:
    """Genes × cells on disk, as CSR of cells × genes, some genes at a time."""
    if not isinstance(matrix, h5py.Dataset) or matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise ValueError("matrix is not a table of numbers")
    rows = max(1, _BLOCK_VALUES // max(1, matrix.shape[1]))
    blocks = [sparse.csc_matrix(matrix[i : i + rows].T) for i in range(0, matrix.shape[0], rows)]
    if not blocks:
        return sparse.csr_matrix(matrix.shape[::-1])
    return sparse.csr_matrix(sparse.hstack(blocks, format="csc"))


def _stated_mpp(cells: dict[str, np.ndarray]) -> float | None:
    """The root of µm² per pixel, the median over cells; None if the file does not state both."""
    if Column.AREA_PX not in cells or Column.AREA_UM2 not in cells:
        return None
    um2, px = cells[Column.AREA_UM2], cells[Column.AREA_PX]
    known = np.isfinite(um2) & np.isfinite(px) & (um2 > 0) & (px > 0)
    if not known.any():
        return None
    mpp = float(np.sqrt(np.median(um2[known] / px[known])))
    return mpp if 1e-3 < mpp < 100 else None

"""STARmap: STARmap PLUS as the Single Cell Portal holds it, and the tables of the method's first software.

The portal's files are genes × cells, and a table of cells whose second line states types (``TYPE,numeric,…``).
Positions are voxels of 194 nm in x and y (Shi et al. 2023, *Nature* 622:552). The first software (Wang et al. 2018,
*Science* 361:eaat5691) writes counts without header, gene names apart, and positions as a table or as a picture of
the segmentation.
"""

from __future__ import annotations

import re
import zipfile
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage import PlatformInfo
from focus_cli.platforms import pitch
from focus_cli.platforms.assemble import assemble, cell_footprint, choose_he
from focus_cli.platforms.cells import match_cells
from focus_cli.platforms.checks import GENE_EXPRESSION, check_positions
from focus_cli.platforms.formats.opening import DAMAGE, damaged
from focus_cli.platforms.formats.tables import iter_table, read_table, table_columns
from focus_cli.platforms.formats.text_matrix import read_text_matrix
from focus_cli.platforms.frames import choose_frame, frame_columns, split_region
from focus_cli.platforms.sample import Detection, RawSample

NAME = "starmap"
PLUS_MPP = 0.194
# The first software keeps cells of these sizes, in pixels of the segmentation.
_SMALLEST, _LARGEST = 1000, 100_000
_MOST_BYTES = 1 << 31  # of a picture


class File(StrEnum):
    """Endings of the portal's names, and the names of the first software."""

    RAW = "raw_expression_pd.csv"
    PROCESSED = "processed_expression_pd.csv"
    SPATIAL = "spatial.csv"
    COUNTS = "cell_barcode_count.csv"
    GENES = "cell_barcode_names.csv"
    META = "meta.csv"
    LABELS = "labels.npz"


class Column(StrEnum):
    """Columns of the tables of cells."""

    GENE = "GENE"
    NAME = "NAME"
    X = "X"
    Y = "Y"
    Z = "Z"
    TYPE = "TYPE"  # of the second line
    META_X = "x"
    META_Y = "y"
    META_AREA = "area"


LOOKS_FOR = f"a folder with *{File.RAW} and *{File.SPATIAL}, or with {File.COUNTS} (STARmap)"


def _ending(folder: Path, ending: str) -> dict[str, Path]:
    """Name of the section → file."""
    pattern = re.compile(rf"^(.*?)[_.-]*{re.escape(ending)}(\.gz)?$")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = pattern.match(path.name)
        if match and path.is_file():
            found.setdefault(match.group(1), path)
    return found


def find_sections(path: Path) -> dict[str, dict[str, Path]]:
    """Section → role → file, of the portal's layout; `path` is the folder or a file in it."""
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        return {}
    sections: dict[str, dict[str, Path]] = {}
    for role in (File.RAW, File.PROCESSED, File.SPATIAL):
        for name, file in _ending(folder, role).items():
            sections.setdefault(name, {})[role] = file
    sections = {n: f for n, f in sections.items() if File.RAW in f or File.PROCESSED in f}
    if path.is_file():
        sections = {n: f for n, f in sections.items() if path in f.values()}
    return dict(sorted(sections.items()))


def detect(path: Path) -> Detection | None:
    """Recognise either layout by its names."""
    sections = find_sections(path)
    if sections:
        evidence = [file.name for files in sections.values() for file in files.values()]
        problems = [
            f"section {name!r}: *{role} is missing"
            for name, files in sections.items()
            for role in (File.RAW, File.SPATIAL)
            if role not in files
        ]
        return Detection(NAME, "STARmap PLUS", tuple(evidence[:6]), tuple(problems[:6]))
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name != File.COUNTS:
        return None
    if not (folder / File.COUNTS).is_file():
        return None
    problems = [f"{name} is missing" for name in (File.GENES,) if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in (File.META, File.LABELS)):
        problems.append(f"{File.META} or {File.LABELS} is missing")
    return Detection(NAME, "", (File.COUNTS.value,), tuple(problems))


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, region: str | None = None) -> RawSample:
    """Read one section.

    Parameters
    ----------
    path
        The folder, or the table of counts in it.
    image
        The H&E; otherwise one is looked for in the folder.
    mpp
        µm per pixel; otherwise 0.194 for STARmap PLUS. The first software's files do not state it.
    region
        Name of the section (``well11``), where the folder holds several; a plane (``z=3``), where cells of several
        lie on top of each other.

    Raises
    ------
    UsageError
        If there are several sections and none, or an unknown one, is chosen.
    MissingResourceError
        If a file is not there, or µm per pixel is unknown.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    sections = find_sections(path)
    if sections:
        name, region = split_region(path, list(sections), region)
        names, genes, counts, cells, area, inputs, warnings = _read_plus(folder, sections[name])
    else:
        names, genes, counts, cells, area, inputs, warnings = _read_first(folder)
    where = inputs["matrix"].name
    xy = cells[["x", "y"]].to_numpy(np.float64)
    check_positions(xy, inputs["positions"].name)
    others = cells.drop(columns=["x", "y", Column.META_AREA], errors="ignore")
    frame = choose_frame(others, xy, where=inputs["positions"].name, region=region)
    rows, warnings = frame.rows, warnings + frame.warnings
    names, counts, xy, area = np.asarray(names)[rows], counts[rows], xy[rows], None if area is None else area[rows]
    usual = PLUS_MPP if sections and mpp is None else None
    scale, notes = pitch.choose_mpp(given=mpp, vendor=usual, fit=None, where=where)
    if usual is not None:
        notes.append(f"µm per pixel is taken as {PLUS_MPP}, the voxel of STARmap PLUS; pass --mpp to change it")
    footprint = cell_footprint(xy * scale, None if area is None else area * scale**2)
    return assemble(
        platform=PlatformInfo(
            name=NAME,
            version="STARmap PLUS" if sections else "",
            technology="imaging",
            chemistry="in situ sequencing",
            preservation="fresh frozen",
            resolution_um=footprint.size_um,
        ),
        counts=counts,
        names=names,
        genes=pd.DataFrame({"id": genes, "name": genes, "type": GENE_EXPRESSION}),
        xy_px=xy,
        mpp=scale,
        footprint=footprint,
        where=where,
        inputs=inputs,
        warnings=warnings + notes,
        image=choose_he(image, [folder]),
    )


def _read_plus(folder: Path, files: dict[str, Path]):
    if File.RAW not in files:
        raise MissingResourceError(
            f"{folder}: *{File.RAW} is missing ({files[File.PROCESSED].name} is normalised)",
            hint="download the raw counts of the same section",
        )
    if File.SPATIAL not in files:
        raise MissingResourceError(
            f"{folder}: *{File.SPATIAL} is missing: the cells have no position",
            hint="download the spatial file of the same section",
        )
    matrix, table = files[File.RAW], files[File.SPATIAL]
    genes, cells_named, by_gene = read_text_matrix(matrix)
    names = np.array(cells_named, dtype=object)
    wanted = [Column.NAME, Column.X, Column.Y, Column.Z]
    cells = read_table(table, wanted, required=wanted[:3], text=wanted)
    cells = cells[cells[Column.NAME] != Column.TYPE]
    try:
        xyz = cells[[c for c in wanted[1:] if c in cells]].apply(pd.to_numeric).to_numpy(np.float64)
    except (ValueError, TypeError) as error:
        raise BadInputError(f"{table}: a position is no number ({error})", hint="restore the spatial file") from error
    columns = [c.lower() for c in wanted[1:] if c in cells]
    rows, places, warnings = match_cells(cells_named, cells[Column.NAME].tolist(), matrix.name, table.name)
    counts = sparse.csr_matrix(by_gene.T)[rows]
    inputs = {"matrix": matrix, "positions": table}
    return names[rows], genes, counts, pd.DataFrame(xyz[places], columns=columns), None, inputs, warnings


def _read_first(folder: Path):
    matrix, table = folder / File.COUNTS, folder / File.GENES
    for file in (matrix, table):
        if not file.is_file():
            raise MissingResourceError(f"{folder}: {file.name} is missing", hint=f"give {LOOKS_FOR}")
    width = len(table_columns(table))
    genes = read_table(table, names=[str(i) for i in range(width)], text=[str(width - 1)])[str(width - 1)].tolist()
    columns = [str(i) for i in range(len(table_columns(matrix)))]
    if len(columns) != len(genes):
        raise BadInputError(
            f"{matrix.name} has {len(columns)} genes, {table.name} {len(genes)}", hint="take both from one experiment"
        )
    blocks = iter_table(matrix, names=columns, numbers=columns, rows=max(1, 4_000_000 // len(columns)))
    counts = sparse.vstack([sparse.csr_matrix(block.to_numpy(np.float64)) for block in blocks], format="csr")
    n = counts.shape[0]
    if (folder / File.META).is_file():
        place = folder / File.META
        wanted = [Column.META_X, Column.META_Y, Column.META_AREA]
        others = [c for c in frame_columns(table_columns(place)) if c not in wanted]
        cells = read_table(place, [*wanted, *others], required=wanted[:2], numbers=wanted)
        area = cells[Column.META_AREA].to_numpy(np.float64) if Column.META_AREA in cells else None
    elif (folder / File.LABELS).is_file():
        place = folder / File.LABELS
        xy, area = _centroids(place, n)
        cells = pd.DataFrame(xy, columns=["x", "y"])
    else:
        raise MissingResourceError(
            f"{folder}: {File.META} or {File.LABELS} is missing: the cells have no position",
            hint="put the table or the segmentation of the experiment there",
        )
    if len(cells) != n:
        raise BadInputError(
            f"{matrix.name} has {n} cells, {place.name} {len(cells)}", hint="take both from one experiment"
        )
    names = np.array([f"Cell_{i}" for i in range(n)], dtype=object)
    return names, genes, counts, cells, area, {"matrix": matrix, "genes": table, "positions": place}, []


def _centroids(path: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Centre and area in pixels of the cells of a segmentation that the first software kept, in its order."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("labels.npy") as member:
            version = np.lib.format.read_magic(member)
            shape, _, dtype = (
                np.lib.format.read_array_header_1_0(member)
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0(member)
            )
        if (
            len(shape) != 2
            or np.prod(shape, dtype=np.float64) * dtype.itemsize > _MOST_BYTES
            or dtype.kind not in "iuf"
        ):
            raise ValueError(f"labels of {shape} {dtype} are no image of cells")
        with np.load(path, allow_pickle=False) as archive:
            labels = archive["labels"]
        if not labels.size or not (labels.min() >= -1 and labels.max() <= labels.size) or np.any(labels % 1):
            raise ValueError("labels are no numbers of cells")
    except (*DAMAGE, zipfile.BadZipFile, MemoryError) as error:
        raise damaged(path, error) from error
    size = int(labels.max()) + 2
    area, x, y = np.zeros(size), np.zeros(size), np.zeros(size)
    rows = max(1, max(4_000_000, size) // labels.shape[1])
    for start in range(0, labels.shape[0], rows):
        block = labels[start : start + rows].astype(np.int64) + 1
        row, column = np.indices(block.shape, dtype=np.float64)
        area += np.bincount(block.ravel(), minlength=size)
        x += np.bincount(block.ravel(), weights=column.ravel(), minlength=size)
        y += np.bincount(block.ravel(), weights=row.ravel() + start, minlength=size)
    kept = np.flatnonzero((area > _SMALLEST) & (area < _LARGEST))
    # It stops before the last label; the background (0) is beyond the sizes, except in a small picture.
    for usual in (kept, kept[kept != 1], kept[kept < size - 1], kept[(kept != 1) & (kept < size - 1)]):
        if len(usual) == n:
            kept = usual
            break
    return np.stack([x[kept] / area[kept], y[kept] / area[kept]], axis=1), area[kept]

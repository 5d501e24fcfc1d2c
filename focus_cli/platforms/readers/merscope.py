"""MERSCOPE: a region of Vizgen's output, or what its post-processing tool writes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.storage import PlatformInfo
from focus_cli.platforms.assemble import assemble, cell_footprint, choose_he
from focus_cli.platforms.cells import (
    check_extent,
    companion,
    feature_names,
    grid_note,
    match_cells,
    needed,
    only_file,
    read_transform,
    without_counts,
)
from focus_cli.platforms.checks import choose_region
from focus_cli.platforms.formats.tables import read_table, read_wide_counts, table_columns
from focus_cli.platforms.frame_groups import names_sections, words_of
from focus_cli.platforms.frames import choose_frame
from focus_cli.platforms.sample import Detection, RawSample

NAME = "merscope"


class File(StrEnum):
    """Parts of the names of tables, which public data sets prefix or suffix; the region's folder of images."""

    REGION = "region_"
    COUNTS = "cell_by_gene"
    CELLS = "cell_metadata"
    TRANSCRIPTS = "detected_transcripts"
    IMAGES = "images"
    TRANSFORM = "micron_to_mosaic_pixel_transform.csv"


class Column(StrEnum):
    """Columns of the table of cells; µm, and µm³ for the volume."""

    FOV = "fov"
    VOLUME = "volume"
    X = "center_x"
    Y = "center_y"
    MIN_X = "min_x"
    MAX_X = "max_x"
    MIN_Y = "min_y"
    MAX_Y = "max_y"


# What the column of cell ids is called: in the counts, in the metadata, and where the file went through R.
IDS = ("cell", "EntityID", "", "cell_id", "V1", "Unnamed: 0")
LOOKS_FOR = f"a region of MERSCOPE's output ({File.COUNTS}.csv and {File.CELLS}.csv)"

_CONTROLS = {r"blank[-_ ]?\d+$|blank$": "Blank"}


def _find_counts(path: Path, region: str | None = None) -> Path | None:
    """The counts that `path` means: itself, in it, or in its only region.

    Raises
    ------
    UsageError
        If there are several, and `region` names none of them.
    """
    if path.is_file():
        return path if File.COUNTS in path.name else None
    patterns = (f"*{File.COUNTS}*.csv", f"*{File.COUNTS}*.csv.gz")
    here = only_file(path, *patterns, token=File.COUNTS, region=region)
    if here is not None:
        return here
    if not path.is_dir():
        return None
    regions = [r for r in sorted(path.iterdir()) if r.name.lower().startswith(File.REGION) and r.is_dir()]
    found = [f for f in (only_file(region, *patterns) for region in regions) if f is not None]
    if len(found) > 1:
        names = {f.parent.name: f for f in found}
        return names[choose_region(path, list(names), region)]
    return found[0] if found else None


def detect(path: Path) -> Detection | None:
    """Recognise a region by the table of counts."""
    try:
        counts = _find_counts(path)
        if counts is None:
            return without_counts(NAME, path, File.COUNTS, File.TRANSCRIPTS)
        cells = companion(counts, File.COUNTS, File.CELLS)
    except UsageError as error:
        return Detection(NAME, "", (str(File.COUNTS),), (error.message,))
    transform = _transform_file(counts.parent)
    evidence = [found.name for found in (counts, cells, transform) if found is not None]
    missing = {f"{File.CELLS}.csv": cells, f"{File.IMAGES}/{File.TRANSFORM}": transform}
    return Detection(NAME, "", tuple(evidence), tuple(f"{n} is missing" for n, f in missing.items() if f is None))


def _transform_file(folder: Path) -> Path | None:
    candidates = (folder / File.IMAGES / File.TRANSFORM, folder / File.TRANSFORM)
    return next((c for c in candidates if c.is_file()), None)


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, region: str | None = None) -> RawSample:
    """Read one region of a MERSCOPE run.

    Positions are µm in the vendor's table, y down. Full-resolution pixels are those of the mosaic images where
    the transform that leads there is in the folder; else one pixel is one µm. The vendor's µm stay in ``obs``.

    Parameters
    ----------
    path
        The region's folder, the folder above it, or the table of counts.
    image
        The H&E, on the pixel grid of the mosaics; otherwise one is looked for beside the data. The mosaics of
        DAPI, PolyT and cell boundary stains are never taken.
    mpp
        µm per full-resolution pixel, for an image that starts at the corner of the mosaics with other pixels.
    region
        The region (``region_0``), where the folder holds several.

    Raises
    ------
    UsageError
        If there are several regions and none, or an unknown one, is chosen.
    MissingResourceError
        If the counts or the table of cells are not there.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    counts_file = needed(
        _find_counts(path, region),
        path,
        f"{File.COUNTS}.csv",
        "there are no counts of cells",
        f"copy it from the region, or make it of {File.TRANSCRIPTS}.csv and the cells' boundaries with `vpt "
        "partition-transcripts`",
    )
    folder = counts_file.parent
    if region in (folder.name, counts_file.name.partition(File.COUNTS)[0].rstrip("_-. ")):
        region = None  # it named the folder or the file
    cells_file = needed(
        companion(counts_file, File.COUNTS, File.CELLS),
        folder,
        f"{File.CELLS}.csv",
        "its cells have no position",
        "copy it from the region, or make it of the cells' boundaries with `vpt derive-entity-metadata`",
    )
    inputs = {"matrix": counts_file, "positions": cells_file}
    warnings = []
    transform_file = _transform_file(folder)
    to_pixels = Affine.scaling(1.0)
    if transform_file is None:
        warnings.append(f"{File.IMAGES}/{File.TRANSFORM} is missing: one full-resolution pixel is taken as one µm")
    else:
        inputs["transform"] = transform_file
        to_pixels = _mosaic_transform(transform_file)
    scale = 1 / to_pixels.scale if mpp is None else float(mpp)
    to_pixels = Affine.scaling(1 / (to_pixels.scale * scale)) @ to_pixels

    _id_column(counts_file)
    wide = read_wide_counts(counts_file, IDS)
    names = wide.keys.iloc[:, 0].str.strip().tolist()
    key = _id_column(cells_file)
    joined = _region_columns(cells_file, key)
    columns = [key, *Column, *joined]
    table = read_table(cells_file, columns, required=[Column.X, Column.Y], text=[key], numbers=list(Column))
    rows, places, notes = match_cells(names, table[key].str.strip().tolist(), counts_file.name, cells_file.name)
    warnings += notes
    table = table.iloc[places].reset_index(drop=True)
    xy_um = table[[str(Column.X), str(Column.Y)]].to_numpy(np.float64)
    check_extent(xy_um, cells_file.name)
    frame = choose_frame(table[joined], xy_um, where=cells_file.name, region=region)
    warnings += frame.warnings
    rows, table, xy_um = rows[frame.rows], table.iloc[frame.rows].reset_index(drop=True), xy_um[frame.rows]
    xy_px = to_pixels(xy_um)
    he = choose_he(image, [folder, folder / File.IMAGES])
    footprint = cell_footprint(xy_px * scale, _areas(table))
    kept = [c for c in (Column.FOV, Column.VOLUME, Column.X, Column.Y) if c in table]
    return assemble(
        platform=PlatformInfo(name=NAME, technology="imaging", resolution_um=footprint.size_um),
        counts=wide.counts if len(rows) == len(names) else wide.counts[rows],
        names=[names[i] for i in rows],
        genes=feature_names(wide.features, _CONTROLS),
        xy_px=xy_px,
        mpp=scale,
        footprint=footprint,
        where=counts_file.name,
        inputs=inputs,
        warnings=warnings + grid_note(he),
        obs=table[kept].rename(columns=str),
        image=he,
    )


def _mosaic_transform(path: Path) -> Affine:
    """µm → pixels of the mosaics; 9.26 px per µm on every instrument so far, and never turned."""
    transform = read_transform(path)
    if not 0.01 < transform.scale < 100 or transform.anisotropy > 1.05:
        raise BadInputError(
            f"{path}: {transform.scale:.3g} px per µm, stretched {transform.anisotropy:.3g}, is no mosaic's scale",
            hint="restore the vendor's file",
        )
    return transform


def _id_column(path: Path) -> str:
    columns = table_columns(path)
    for name in IDS:
        if name in columns:
            return name
    raise BadInputError(
        f"{path}: no column of cell ids (it starts with {columns[0][:40]!r})",
        hint="the ids are called cell or EntityID",
    )


def _region_columns(path: Path, key: str) -> list[str]:
    """Columns that somebody who joined regions may have added; the vendor's tables have none."""
    known = {key, *map(str, Column)}
    columns = [c for c in dict.fromkeys(table_columns(path)) if c not in known]
    return [c for c in columns if names_sections(c) is not None or "region" in words_of(c)]


def _areas(table: pd.DataFrame) -> np.ndarray | None:
    """The ellipse in a cell's box, µm²: the volume is not informative without the depth that was imaged."""
    box = (Column.MIN_X, Column.MAX_X, Column.MIN_Y, Column.MAX_Y)
    if not all(c in table for c in box):
        return None
    x0, x1, y0, y1 = (table[c].to_numpy(np.float64) for c in box)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.pi / 4 * (x1 - x0) * (y1 - y0)

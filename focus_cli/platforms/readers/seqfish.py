"""seqFISH: regions of Spatial Genomics' instrument, and the tables published with seqFISH+.

Spatial Genomics writes ``ROI_CellxGene.csv`` and ``ROI_CellCoordinates.csv`` in µm; its earlier software wrote
``NAME_CellxGene_section1.csv`` in pixels of ``NAME_DAPI_section1.ome.tiff`` (as spatialdata-io reads the two). The
tables of Eng et al. 2019 (*Nature* 568:235) hold fields of view side by side, each with separate pixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage import PlatformInfo
from focus_cli.platforms import pitch
from focus_cli.platforms.assemble import assemble, cell_footprint, choose_he
from focus_cli.platforms.cells import match_cells
from focus_cli.platforms.checks import GENE_EXPRESSION, check_positions
from focus_cli.platforms.formats.tables import WideCounts, read_table, read_wide_counts, table_columns
from focus_cli.platforms.frames import choose_frame, frame_columns, split_region
from focus_cli.platforms.sample import Detection, RawSample

NAME = "seqfish"
PLUS_MPP = 0.103  # µm per pixel of the published seqFISH+ fields
_SECTION = re.compile(r"_section\d+$", re.IGNORECASE)
_CONTROL = re.compile(r"^(blank|control|neg(ative)?[_ -]?(control|probe|ctrl)|dummy)", re.IGNORECASE)


class File(StrEnum):
    """What names are made of."""

    COUNTS = "CellxGene"
    CELLS = "CellCoordinates"
    DAPI = "DAPI"
    PLUS_COUNTS = "counts"
    PLUS_CELLS = "cellcentroids"


class Column(StrEnum):
    """Columns of the tables of cells."""

    LABEL = "label"
    X = "center_x"
    Y = "center_y"
    AREA = "area"
    PLUS_FIELD = "Field of View"
    PLUS_CELL = "Cell ID"
    PLUS_X = "X"
    PLUS_Y = "Y"
    PLUS_REGION = "Region"


LOOKS_FOR = f"a folder with *_{File.COUNTS}.csv and *_{File.CELLS}.csv (seqFISH)"
_DEPTH = ("z", "Z", "center_z")  # columns of either source
_ENDINGS = (".csv", ".csv.gz")


@dataclass(frozen=True)
class Region:
    """The files of one region; those that are not there are None."""

    name: str
    counts: Path | None
    cells: Path | None
    plus: bool

    @property
    def in_pixels(self) -> bool:
        """Whether positions are pixels rather than µm."""
        return self.plus or bool(_SECTION.search(self.name))


def _stem(path: Path) -> str | None:
    ending = next((e for e in reversed(_ENDINGS) if path.name.lower().endswith(e)), None)
    return path.name[: -len(ending)] if ending else None


def _named(folder: Path, token: str) -> dict[str, Path]:
    """Name of the region → file, for the files whose name holds `token` between separators."""
    found: dict[str, Path] = {}
    pattern = re.compile(rf"(^|_){token}(?=$|_)", re.IGNORECASE)
    for path in sorted(folder.iterdir()):
        stem = _stem(path)
        if stem is not None and pattern.search(stem) and path.is_file():
            found.setdefault(pattern.sub("", stem).strip("_"), path)
    return found


def find_regions(path: Path) -> dict[str, Region]:
    """The regions of a folder, or the one that a file belongs to."""
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir() or (path.is_file() and _stem(path) is None):
        return {}
    for plus, one, other in ((False, File.COUNTS, File.CELLS), (True, File.PLUS_COUNTS, File.PLUS_CELLS)):
        counts, cells = _named(folder, one), _named(folder, other)
        names = sorted(cells) if plus else sorted({*counts, *cells})
        regions = {n: Region(n, counts.get(n), cells.get(n), plus) for n in names}
        if path.is_file():
            regions = {n: r for n, r in regions.items() if path in (r.counts, r.cells)}
        if regions:
            return regions
    return {}


def detect(path: Path) -> Detection | None:
    """Recognise the tables of either source by their names."""
    regions = find_regions(path)
    if not regions:
        return None
    evidence = [file.name for r in regions.values() for file in (r.counts, r.cells) if file is not None]
    problems = [f"region {r.name!r}: its {File.COUNTS} table is missing" for r in regions.values() if not r.counts]
    problems += [f"region {r.name!r}: its {File.CELLS} table is missing" for r in regions.values() if not r.cells]
    plus = any(r.plus for r in regions.values())
    return Detection(NAME, "seqFISH+ tables" if plus else "", tuple(evidence[:6]), tuple(problems[:6]))


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, region: str | None = None) -> RawSample:
    """Read one region, or one field of view.

    Parameters
    ----------
    path
        The folder, or the table of counts in it.
    image
        The H&E; otherwise one is looked for in the folder.
    mpp
        µm per full-resolution pixel; otherwise from the DAPI image, 0.103 for the tables of seqFISH+, else pixels
        are µm where positions are.
    region
        Name of the region (``Roi1``), or number of the field of view; needed where there are several. A plane
        (``z=3``), where cells of several lie on top of each other.

    Raises
    ------
    UsageError
        If there are several regions and none, or an unknown one, is chosen.
    MissingResourceError
        If a table is not there, or µm per pixel is unknown.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    regions = find_regions(path)
    if not regions:
        raise MissingResourceError(f"{path}: no {File.COUNTS} table", hint=f"give {LOOKS_FOR}")
    plus = next(iter(regions.values())).plus
    if not plus:
        name, region = split_region(path, list(regions), region)
        chosen = regions[name]
    elif len(regions) == 1:
        chosen = next(iter(regions.values()))
    else:
        raise UsageError(f"{path} holds several tables of counts", hint="give one of the files")
    for file, token in ((chosen.counts, File.COUNTS), (chosen.cells, File.CELLS)):
        if file is None:
            raise MissingResourceError(
                f"{path}: the table {token} of {chosen.name!r} is missing", hint="copy it beside the other one"
            )
    folder = chosen.counts.parent
    counts, cells, warnings, region = _read_plus(chosen, region) if plus else (*_read_vendor(chosen), region)
    xy = cells[["x", "y"]].to_numpy(np.float64)
    check_positions(xy, chosen.cells.name)
    frame = choose_frame(cells[_frame_columns(cells)], xy, where=chosen.cells.name, region=region)
    counts, cells, xy = _take(counts, frame.rows), cells.iloc[frame.rows].reset_index(drop=True), xy[frame.rows]
    warnings += frame.warnings
    inputs = {"matrix": chosen.counts, "positions": chosen.cells}
    vendor, dapi = (PLUS_MPP, None) if plus else _dapi_mpp(folder, chosen.name)
    if dapi is not None:
        inputs["dapi"] = dapi
    if chosen.in_pixels:
        scale, notes = pitch.choose_mpp(given=mpp, vendor=vendor, fit=None, where=chosen.cells.name)
        warnings += notes
        unit = scale
    else:
        scale, unit = mpp or vendor or 1.0, 1.0
    area = cells["area"].to_numpy(np.float64) * unit**2 if "area" in cells else None
    footprint = cell_footprint(xy * unit, area)
    obs = cells.drop(columns=["name", "x", "y", *(["area"] if area is not None else [])])
    if area is not None:
        obs["area_um2"] = area
    genes = counts.features
    return assemble(
        platform=PlatformInfo(
            name=NAME,
            version="seqFISH+" if plus else "",
            technology="imaging",
            chemistry="sequential FISH",
            resolution_um=footprint.size_um,
        ),
        counts=counts.counts,
        names=cells["name"].to_numpy(),
        genes=pd.DataFrame(
            {"id": genes, "name": genes, "type": ["Blank" if _CONTROL.match(g) else GENE_EXPRESSION for g in genes]}
        ),
        xy_px=xy * unit / scale,
        mpp=scale,
        footprint=footprint,
        where=chosen.counts.name,
        inputs=inputs,
        warnings=warnings,
        obs=obs,
        image=choose_he(image, [folder]),
    )


def _frame_columns(cells: pd.DataFrame) -> list[str]:
    """Columns of depth; fields of view were chosen already."""
    return [c for c in frame_columns(list(cells)) if c not in ("fov", "region")]


def _take(counts: WideCounts, rows: np.ndarray) -> WideCounts:
    return WideCounts(counts.keys.iloc[rows], counts.features, counts.counts[rows])


def _read_vendor(chosen: Region) -> tuple[WideCounts, pd.DataFrame, list[str]]:
    first = table_columns(chosen.counts)[0]
    counts = read_wide_counts(chosen.counts, [first])
    numbers = [Column.X, Column.Y, Column.AREA]
    wanted = [Column.LABEL, *numbers, *_DEPTH]
    cells = read_table(chosen.cells, wanted, required=wanted[:3], text=[Column.LABEL], numbers=numbers)
    cells = cells.rename(columns={Column.LABEL: "name", Column.X: "x", Column.Y: "y", Column.AREA: "area"})
    names = counts.keys[first].tolist()
    rows, places, warnings = match_cells(names, cells["name"].tolist(), chosen.counts.name, chosen.cells.name)
    if len(rows) < len(names):
        counts = _take(counts, rows)
    return counts, cells.iloc[places].reset_index(drop=True), warnings


def _read_plus(chosen: Region, region: str | None) -> tuple[WideCounts, pd.DataFrame, list[str], str | None]:
    text = [Column.PLUS_FIELD, Column.PLUS_CELL, Column.PLUS_REGION]
    wanted = [*text, Column.PLUS_X, Column.PLUS_Y, *_DEPTH]
    required = [c for c in wanted[: -len(_DEPTH)] if c != Column.PLUS_REGION]
    cells = read_table(chosen.cells, wanted, required=required, text=text, numbers=[Column.PLUS_X, Column.PLUS_Y])
    header = table_columns(chosen.counts)
    counts = read_wide_counts(chosen.counts, [c for c in header if c in ("", "index", "Unnamed: 0")])
    if counts.counts.shape[0] != len(cells):
        raise BadInputError(
            f"{chosen.counts.name} has {counts.counts.shape[0]} cells, {chosen.cells.name} {len(cells)}",
            hint="the two tables share their rows; take them from one data set",
        )
    fields = sorted(set(cells[Column.PLUS_FIELD]))
    field, region = split_region(chosen.cells, fields, region)
    here = (cells[Column.PLUS_FIELD] == field).to_numpy()
    warnings = []
    if len(fields) > 1:
        warnings.append(f"field of view {field} of {len(fields)}: each has separate positions")
    counts = WideCounts(counts.keys[here], counts.features, counts.counts[np.flatnonzero(here)])
    cells = cells[here].reset_index(drop=True)
    names = {Column.PLUS_CELL: "name", Column.PLUS_X: "x", Column.PLUS_Y: "y"}
    names |= {Column.PLUS_FIELD: "fov", Column.PLUS_REGION: "region"}
    return counts, cells.rename(columns=names), warnings, region


def _dapi_mpp(folder: Path, name: str) -> tuple[float | None, Path | None]:
    """µm per pixel from the header of the region's DAPI image, if there is one that states it."""
    from focus_cli.core.storage.tiff_file import open_tiff_file
    from focus_cli.histology.slides import require_square, tiff_scale

    for path in sorted(folder.glob("*.tif*")):
        stem = re.sub(r"(\.ome)?\.tiff?$", "", path.name, flags=re.IGNORECASE)
        if re.sub(rf"(^|_){File.DAPI}(?=$|_)", "", stem).strip("_") != name or File.DAPI not in stem:
            continue
        try:
            with open_tiff_file(path) as tif:
                scale = tiff_scale(tif, tif.pages.first.imagewidth)
        except Exception:  # an optional file: whatever is wrong with it, the tables can be read
            continue
        require_square(path, scale)
        if scale.mpp is not None:
            return scale.mpp, path
    return None, None

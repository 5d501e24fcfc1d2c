"""CosMx: the flat files that the AtoMx portal exports, and those of the public data releases before it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.missing import texts
from focus_cli.core.storage import PlatformInfo
from focus_cli.platforms import pitch
from focus_cli.platforms.assemble import assemble, cell_footprint, choose_he
from focus_cli.platforms.cells import (
    check_extent,
    companion,
    feature_names,
    grid_note,
    match_cells,
    needed,
    only_file,
    without_counts,
)
from focus_cli.platforms.checks import choose_region
from focus_cli.platforms.formats.tables import read_table, read_wide_counts, table_columns
from focus_cli.platforms.frame_areas import share_area
from focus_cli.platforms.frame_groups import natural_order
from focus_cli.platforms.sample import Detection, RawSample

NAME = "cosmx"
PIXEL_UM = 0.12028
# The instrument before the product: 5472 × 3648 px in a field of view, where later ones have 4256 × 4256.
OLDER_PIXEL_UM = 0.18
_FIELD_PX = 4256
_SPREAD_PX, _MOST_STRETCH = 100, 0.2  # of the cells of a field, in its own pixels
_OLDER_FIELD_PX = (5472, 3648)


class File(StrEnum):
    """Parts of the file names: ``RUN_SLIDE_exprMat_file.csv``, gzipped or not."""

    COUNTS = "exprMat_file"
    CELLS = "metadata_file"
    FIELDS = "fov_positions_file"
    TRANSCRIPTS = "tx_file"


class Column(StrEnum):
    """Columns of the table of cells. Local pixels count from a corner of the field of view."""

    FOV = "fov"
    CELL = "cell_ID"
    NAME = "cell"
    X = "CenterX_global_px"
    Y = "CenterY_global_px"
    X_LOCAL = "CenterX_local_px"
    Y_LOCAL = "CenterY_local_px"
    X_MM = "x_slide_mm"
    Y_MM = "y_slide_mm"
    AREA_PX = "Area"
    AREA_UM2 = "Area.um2"


class Field(StrEnum):
    """Columns of the table of fields of view that state one length in two units."""

    X_PX = "x_global_px"
    Y_PX = "y_global_px"
    X_MM = "x_global_mm"
    Y_MM = "y_global_mm"


LOOKS_FOR = f"CosMx's flat files (…_{File.COUNTS}.csv and …_{File.CELLS}.csv)"

# Columns of the counts that are no features, in one export or another.
# Columns that name the slide, in the counts or in the table of cells, where an export joins several.
_SLIDES = ("slide_ID", "slide_ID_numeric", "slide_id", "slideID", "slide", "Slide", "slide_name", "Slide_name")
_SLIDES += ("Run_Tissue_name", "Run_name", "tissue_name")
_NO_FEATURES = ("", Column.FOV, Column.CELL, Column.NAME, "cell_id", "cellID", *_SLIDES)
_CONTROLS = {
    r"(custom[-_. ]?)?neg(prb|probe|add|ative|control|ctrl)?[-_. ]?\d+$|negative$": "Negative Control Probe",
    r"systemcontrol[-_.]?\d*$": "System Control",
    r"falsecode[-_.]?\d*$": "False Code",
}


def _find_counts(path: Path, region: str | None = None) -> Path | None:
    if path.is_file():
        return path if File.COUNTS in path.name else None
    patterns = (f"*{File.COUNTS}*.csv", f"*{File.COUNTS}*.csv.gz")
    return only_file(path, *patterns, token=File.COUNTS, region=region)


def detect(path: Path) -> Detection | None:
    """Recognise CosMx's flat files by the one with the counts."""
    try:
        counts = _find_counts(path)
        if counts is None:
            return without_counts(NAME, path, File.COUNTS, File.TRANSCRIPTS)
        cells = companion(counts, File.COUNTS, File.CELLS)
        fields = companion(counts, File.COUNTS, File.FIELDS)
    except UsageError as error:
        return Detection(NAME, "", (str(File.COUNTS),), (error.message,))
    evidence = [found.name for found in (counts, cells, fields) if found is not None]
    missing = {File.CELLS: cells, File.FIELDS: fields}
    return Detection(NAME, "", tuple(evidence), tuple(f"{n}.csv is missing" for n, f in missing.items() if f is None))


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, region: str | None = None) -> RawSample:
    """Read a CosMx sample.

    On the slide, y points up; here as in an image it points down, so the cells are turned over. Full-resolution
    pixels count from the upper left corner of the fields of view where local and global pixels show it, else
    from that of the box around the cells. The vendor's own positions stay in ``obs``.

    Parameters
    ----------
    path
        The folder of flat files, or the one with the counts.
    image
        The H&E, on the pixel grid of the fields; otherwise one is looked for beside the data.
    mpp
        µm per pixel; otherwise from tables that state a length in both px and mm, else by the size of the
        field of view: 0.12028 µm, and 0.18 µm before the instrument was sold.
    region
        The slide, where the export joins several.

    Raises
    ------
    UsageError
        If there are several slides and none, or an unknown one, is chosen.
    MissingResourceError
        If the counts or the table of cells are not there.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    folder = path.parent if path.is_file() else path
    counts_file = needed(
        _find_counts(path, region),
        folder,
        f"…_{File.COUNTS}.csv",
        "there are no counts of cells",
        f"export it and …_{File.CELLS}.csv from AtoMx (…_{File.TRANSCRIPTS}.csv holds single transcripts), or count "
        "the transcripts of each cell and give the table with --platform tables",
    )
    if region is not None and counts_file.name.startswith(f"{region}_{File.COUNTS}"):
        region = None  # it named the file
    cells_file = needed(
        companion(counts_file, File.COUNTS, File.CELLS), folder, f"…_{File.CELLS}.csv", "its cells have no position"
    )
    fields_file = companion(counts_file, File.COUNTS, File.FIELDS)
    inputs = {"matrix": counts_file, "positions": cells_file}

    wide = read_wide_counts(counts_file, [str(c) for c in _NO_FEATURES])
    for key in (Column.FOV, Column.CELL):
        if key not in wide.keys:
            raise BadInputError(f"{counts_file}: column {str(key)!r} is missing", hint="restore the vendor's file")
    inside = _whole(wide.keys[Column.CELL]).ne("0").to_numpy()
    warnings = []
    if not inside.all():
        lost = np.asarray(wide.counts.sum(axis=1, dtype=np.float64)).ravel()[~inside].sum()
        warnings.append(
            f"{counts_file.name}: {lost:.0f} transcripts outside of cells ({Column.CELL} 0, {int(np.sum(~inside))} "
            "rows) were left out"
        )
    table = _read_cells(cells_file)
    keys = wide.keys[inside].reset_index(drop=True)
    mine, here = _one_slide(keys, table, counts_file, cells_file, region)
    ids, table = _cell_names(keys[mine]), table[here].reset_index(drop=True)
    rows, places, notes = match_cells(ids, _cell_names(table), counts_file.name, cells_file.name)
    warnings += notes

    if fields_file is not None:
        inputs["fields"] = fields_file
    scale, notes = _pixel_size(mpp, table, cells_file, fields_file)
    warnings += notes
    xy_px, notes = _positions(table, cells_file, scale)
    warnings += notes
    check_extent(xy_px * scale, cells_file.name)
    table, xy_px = table.iloc[places].reset_index(drop=True), xy_px[places]
    _require_one_frame(table, xy_px, cells_file)
    he = choose_he(image, [folder])
    footprint = cell_footprint(xy_px * scale, _areas(table, scale))
    return assemble(
        platform=PlatformInfo(name=NAME, technology="imaging", resolution_um=footprint.size_um),
        counts=wide.counts[np.flatnonzero(inside)[np.flatnonzero(mine)[rows]]],
        names=table[Column.NAME] if Column.NAME in table else [ids[i] for i in rows],
        genes=feature_names(wide.features, _CONTROLS),
        xy_px=xy_px,
        mpp=scale,
        footprint=footprint,
        where=counts_file.name,
        inputs=inputs,
        warnings=warnings + grid_note(he),
        obs=table.drop(columns=[Column.NAME], errors="ignore").rename(columns=str),
        image=he,
    )


def _require_one_frame(table: pd.DataFrame, xy: np.ndarray, path: Path) -> None:
    """Refuse fields of view that lie on top of each other, or whose cells are spaced unlike their own pixels.

    Raises
    ------
    BadInputError
        If slides were joined whose fields were numbered on, or the global positions have another unit.
    """
    fov = table[Column.FOV].to_numpy(dtype=object)
    if share_area(fov, xy):
        raise BadInputError(
            f"{path}: fields of view lie on top of each other, as those of several slides do",
            hint=f"name the slide of each cell in a column {_SLIDES[0]} and choose one with --region",
        )
    if not _has(table, Column.X, Column.Y, Column.X_LOCAL, Column.Y_LOCAL):
        return
    columns = [str(c) for c in (Column.X, Column.Y, Column.X_LOCAL, Column.Y_LOCAL)]
    spread = table[columns].groupby(fov).agg(np.ptp)
    spread = spread[(spread[columns[2:]] > _SPREAD_PX).all(axis=1)]
    if spread.empty:
        return
    ratio = float(np.median(spread[columns[:2]].to_numpy() / spread[columns[2:]].to_numpy()))
    if abs(ratio - 1) > _MOST_STRETCH:
        raise BadInputError(
            f"{path}: cells lie {ratio:.3g} times as far apart by {columns[0]} as by {columns[2]}, both in pixels",
            hint="restore the vendor's file; its columns in px are in another unit",
        )


def _one_slide(
    keys: pd.DataFrame, table: pd.DataFrame, counts: Path, cells: Path, region: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of the counts and of the table of cells are of the slide that is meant, bool.

    Numbers of fields of view and cells start again on each slide. Slides are distinguished by a column, or the
    second part of the cells' full names (``c_SLIDE_FOV_CELL``).

    Raises
    ------
    UsageError
        If there are several slides and none, or an unknown one, is chosen.
    BadInputError
        If the counts do not state on which slide a cell lies.
    """
    every = np.ones(len(keys), bool), np.ones(len(table), bool)
    of_cells, of_counts = _slides(table), _slides(keys)
    slides = of_cells if of_cells is not None else of_counts
    names = natural_order(set(slides.tolist()) - {""}) if slides is not None else []
    if len(names) < 2:
        if region is not None and region not in names:
            raise UsageError(f"{cells}: no region {region!r}", hint="it holds one slide: leave --region out")
        return every
    slide = choose_region(cells, names, region)
    here = every[1] if of_cells is None else of_cells == slide
    if of_counts is not None and slide in of_counts:
        return of_counts == slide, here
    if of_cells is None:
        raise BadInputError(
            f"{cells}: no column states on which slide a cell lies", hint=f"it needs a column {_SLIDES[0]}"
        )
    if Column.NAME in keys and Column.NAME in table:
        return keys[Column.NAME].isin(table[Column.NAME][here]).to_numpy(), here
    if _cell_names(keys) == _cell_names(table):  # the two tables share their rows
        return here, here
    raise BadInputError(
        f"{counts}: no column states on which of the slides ({', '.join(names[:8])}) a cell lies",
        hint=f"it needs a column {_SLIDES[0]} or {Column.NAME}",
    )


def _slides(table: pd.DataFrame) -> np.ndarray | None:
    """The slide of each cell, str (n,), by the first column that names several; None if nothing states it."""
    named = [texts(table[c]) for c in _SLIDES if c in table]
    several = [slides for slides in named if len(set(slides.tolist()) - {""}) > 1]
    if several:
        return several[0]
    if Column.NAME in table:
        parts = table[Column.NAME].str.extract(r"^[A-Za-z]+_(\w+?)_\d+_\d+$", expand=False)
        if parts.notna().all() and parts.nunique() > 1:
            return parts.to_numpy(dtype=object)
    return named[0] if named else None


def _cell_names(table: pd.DataFrame) -> list[str]:
    """``FOV_CELL``, unique on the slide: the number of a cell counts within its field of view."""
    return [f"{fov}_{cell}" for fov, cell in zip(_whole(table[Column.FOV]), _whole(table[Column.CELL]))]


def _whole(numbers: pd.Series) -> pd.Series:
    """Numbers as text without the decimals that programs append to whole numbers."""
    return numbers.str.strip().str.replace(r"\.0*$", "", regex=True)


def _read_cells(path: Path) -> pd.DataFrame:
    keys = [Column.FOV, Column.CELL]
    words = [*keys, Column.NAME, *_SLIDES]
    columns = [*Column, *_SLIDES]
    table = read_table(path, columns, required=keys, text=words, numbers=[c for c in Column if c not in words])
    slide = _has(table, Column.X, Column.Y) or _has(table, Column.X_MM, Column.Y_MM)
    alone = _has(table, Column.X_LOCAL, Column.Y_LOCAL) and table[Column.FOV].nunique() == 1
    if not slide and not alone:
        raise BadInputError(f"{path}: column {str(Column.X)!r} is missing", hint=f"it needs {Column.X} and {Column.Y}")
    return table


def _has(table: pd.DataFrame, *columns: str) -> bool:
    return all(c in table.columns for c in columns)


def _areas(table: pd.DataFrame, mpp: float) -> np.ndarray | None:
    if Column.AREA_UM2 in table:
        return table[Column.AREA_UM2].to_numpy()
    return table[Column.AREA_PX].to_numpy() * mpp**2 if Column.AREA_PX in table else None


def _pixel_size(given: float | None, table: pd.DataFrame, cells: Path, fields: Path | None) -> tuple[float, list[str]]:
    """µm per pixel: the user's, else the vendor's, else what the instrument is known for."""
    vendor = None
    if fields is not None:
        columns = [str(c) for c in Field]
        known = table_columns(fields)
        if all(c in known for c in columns):
            held = read_table(fields, [*columns, *_SLIDES], numbers=columns, text=_SLIDES)
            slides = _slides(held)  # each has an origin of its own
            parts = [held] if slides is None else [held[slides == name] for name in sorted(set(slides.tolist()))]
            ratios = [ratio for ratio in (_ratio(part, *columns) for part in parts) if ratio is not None]
            vendor = float(np.median(ratios)) if ratios else None
    if vendor is None and _has(table, Column.X, Column.Y, Column.X_MM, Column.Y_MM):
        vendor = _ratio(table, Column.X, Column.Y, Column.X_MM, Column.Y_MM)
    if given is not None or vendor is not None:
        return pitch.choose_mpp(given=given, vendor=vendor, fit=None, where=cells.name)
    if _has(table, Column.X_LOCAL, Column.Y_LOCAL):
        x, y = table[Column.X_LOCAL].max(), table[Column.Y_LOCAL].max()
        if _FIELD_PX * 1.02 < x <= _OLDER_FIELD_PX[0] and y <= _OLDER_FIELD_PX[1]:
            return OLDER_PIXEL_UM, [f"fields of view {x:.0f} px wide: {OLDER_PIXEL_UM} µm per pixel (older instrument)"]
    return PIXEL_UM, [f"no file states the pixel size: {PIXEL_UM} µm is taken; pass --mpp to change it"]


def _ratio(table: pd.DataFrame, x_px: str, y_px: str, x_mm: str, y_mm: str) -> float | None:
    """µm per pixel by how far apart the rows of a table lie in both units; None if that is not informative."""
    px, mm = (table[[str(a), str(b)]].to_numpy(np.float64) for a, b in ((x_px, y_px), (x_mm, y_mm)))
    sound = np.isfinite(px).all(axis=1) & np.isfinite(mm).all(axis=1)
    if sound.sum() < 2:
        return None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        spread = 1000 * mm[sound].std(axis=0).sum() / px[sound].std(axis=0).sum()
    return float(spread) if 0.01 < spread < 100 else None


def _positions(table: pd.DataFrame, path: Path, mpp: float) -> tuple[np.ndarray, list[str]]:
    """(x, y) in pixels, y down, of every cell of the table: float64 (n, 2)."""
    if _has(table, Column.X, Column.Y):
        xy = table[[str(Column.X), str(Column.Y)]].to_numpy(np.float64)
        notes = []
    elif _has(table, Column.X_MM, Column.Y_MM):
        xy = table[[str(Column.X_MM), str(Column.Y_MM)]].to_numpy(np.float64) * 1000 / mpp
        notes = [f"{path.name}: positions are taken from {Column.X_MM} and {Column.Y_MM}"]
    else:
        xy = table[[str(Column.X_LOCAL), str(Column.Y_LOCAL)]].to_numpy(np.float64)
        return xy, [f"{path.name}: positions within the one field of view are taken, y down"]
    left, top = _corner(table, xy)
    return np.stack([xy[:, 0] - left, top - xy[:, 1]], axis=1), notes


def _corner(table: pd.DataFrame, xy: np.ndarray) -> tuple[float, float]:
    """Upper left corner of the fields of view in global pixels, where y points up.

    Local pixels count from the upper left corner of a field, y down, in the exports of AtoMx: then global x
    minus local x, and global y plus local y, are the same for all cells of a field. Where they are not (y up,
    or x reversed, in earlier releases), the height of a field is not known, and the cells' own box serves.
    """
    if not np.isfinite(xy).any(axis=0).all():
        return 0.0, 0.0  # refused with the rest
    box = float(np.floor(np.nanmin(xy[:, 0]))), float(np.ceil(np.nanmax(xy[:, 1])))
    if not _has(table, Column.X_LOCAL, Column.Y_LOCAL) or not np.isfinite(xy).all() or np.abs(xy).max() > 1e9:
        return box
    local = table[[str(Column.X_LOCAL), str(Column.Y_LOCAL)]].to_numpy(np.float64)
    corners = pd.DataFrame({"x": xy[:, 0] - local[:, 0], "y": xy[:, 1] + local[:, 1]})
    fields = corners.groupby(table[Column.FOV].to_numpy(dtype=object))
    # Cells of a field must differ in y, or either direction would look right.
    tall = pd.Series(local[:, 1]).groupby(table[Column.FOV].to_numpy(dtype=object)).agg(np.ptp).max() > 100
    if not tall or not (fields.max() - fields.min()).max().max() <= 20:
        return box
    corner = fields.median()
    return float(corner["x"].min()), float(corner["y"].max())

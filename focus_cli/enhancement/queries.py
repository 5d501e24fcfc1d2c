"""Query points of a refined file: a regular grid between the locations, or points of the user such as nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.progress import print_message
from focus_cli.core.storage import Footprint
from focus_cli.core.storage.regular import open_maybe_gzip, require_regular
from focus_cli.model.conditioning import SampleData

REACH = 0.75  # pitches from the nearest location, beyond which nothing is known
CELL_UM2 = 80.0  # of a cell whose area nobody states: 10 µm across


@dataclass(frozen=True)
class Queries:
    """Places to be estimated.

    Attributes
    ----------
    xy_um
        float64 (n, 2).
    names
        Of the query points, unique.
    parent
        Row of the nearest location of each point.
    area_share
        float64 (n,): area of a point over that of a location's footprint, at most 1.
    size_um
        Side of a point, for drawing.
    """

    xy_um: np.ndarray
    names: np.ndarray
    parent: np.ndarray
    area_share: np.ndarray
    size_um: float


def refined_grid(data: SampleData, resolution_um: float) -> Queries:
    """Centres of square cells of `resolution_um` on the tissue between the locations.

    Names are ``r00001_c00001``, row and column of the grid.

    Raises
    ------
    UsageError
        If the resolution is coarser than the locations, or finer than 1 µm.
    """
    footprint = data.info.footprint
    check_resolution(footprint, resolution_um)
    low = data.xy_um.min(axis=0) - footprint.size_um / 2
    high = data.xy_um.max(axis=0) + footprint.size_um / 2
    x = np.arange(low[0] + resolution_um / 2, high[0], resolution_um)
    y = np.arange(low[1] + resolution_um / 2, high[1], resolution_um)
    column, row = (a.ravel() for a in np.meshgrid(np.arange(len(x)), np.arange(len(y))))
    xy = np.stack([x[column], y[row]], axis=1)
    distance, parent = cKDTree(data.xy_um).query(xy)
    inside = distance <= REACH * footprint.pitch_um
    if data.raster is not None:
        inside &= data.raster.tissue(xy) >= 0.5
    names = np.array([f"r{r:05d}_c{c:05d}" for r, c in zip(row[inside], column[inside])])
    share = np.full(len(names), min(resolution_um**2 / _area(footprint), 1.0))
    return Queries(xy[inside], names, parent[inside], share, resolution_um)


def check_resolution(footprint: Footprint, resolution_um: float) -> None:
    """Refuse a grid that is coarser than the locations, or finer than 1 µm.

    Raises
    ------
    UsageError
        Naming the pitch of the locations.
    """
    if resolution_um > footprint.pitch_um or resolution_um < 1:
        raise UsageError(
            f"--resolution-um {resolution_um:g}: locations are {footprint.pitch_um:g} µm apart",
            hint=f"give a value between 1 and {footprint.pitch_um:g}",
        )


def load_points(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read points from a table: ``x_um`` and ``y_um`` in µm, the index (or first text column) as names.

    Parameters
    ----------
    path
        .parquet (as ``focus nuclei`` writes it), .csv or .tsv.

    Returns
    -------
    xy
        float64 (n, 2), µm.
    area
        float64 (n,), µm²: ``area_um2`` where the table has it.
    names
        Text (n,), unique.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is no such table, names come twice, or a number is not finite.
    """
    table = _read_table(Path(path))
    if missing := {"x_um", "y_um"} - set(table.columns):
        raise BadInputError(f"{path} has no column {sorted(missing)[0]}", hint="x_um and y_um, in µm of the sample")
    try:
        xy = table[["x_um", "y_um"]].to_numpy(np.float64)
        area = table["area_um2"].to_numpy(np.float64) if "area_um2" in table else np.full(len(xy), CELL_UM2)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{path}: positions and areas must be numbers", hint="check its columns") from error
    if not (np.isfinite(xy).all() and np.isfinite(area).all() and (area > 0).all()):
        raise BadInputError(f"{path}: a position or an area is no finite number", hint="leave such points out")
    names = table.index.to_numpy().astype(str)
    if len(set(names)) < len(names):
        raise BadInputError(f"{path}: names of points come twice", hint="give each point its own id")
    return xy, area, names


def read_points(path: Path, data: SampleData) -> Queries:
    """Points of a table on a section. Those beyond `REACH` pitches of the nearest location are left out, and counted.

    Raises
    ------
    MissingResourceError, BadInputError
        As `load_points`, or if no point lies on the section.
    """
    xy, area, names = load_points(path)
    footprint = data.info.footprint
    distance, parent = cKDTree(data.xy_um).query(xy) if len(xy) else (np.zeros(0), np.zeros(0, int))
    inside = distance <= REACH * footprint.pitch_um
    if not inside.any():
        raise BadInputError(
            f"none of the {len(xy):,} points of {path} lies on {data.info.sample_id}",
            hint="x_um and y_um are µm of the sample, as in its obsm['spatial_um']",
        )
    if not inside.all():
        print_message(
            f"enhance: {int((~inside).sum()):,} of {len(xy):,} points lie beyond the locations and are left out"
        )
    share = np.minimum(area[inside] / _area(footprint), 1.0)
    return Queries(xy[inside], names[inside], parent[inside], share, float(np.sqrt(np.median(area[inside]))))


def _area(footprint: Footprint) -> float:
    """Of a location, µm²."""
    return (np.pi / 4 if footprint.shape == "circle" else 1.0) * footprint.size_um**2


def _read_table(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise MissingResourceError(f"no such table of points: {path}", hint="focus nuclei writes one")
    separators = {".csv": ",", ".tsv": "\t"}
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(require_regular(path))
        if path.suffix in separators:
            with open_maybe_gzip(path) as stream:
                table = pd.read_csv(stream, sep=separators[path.suffix])
            first = table.columns[0]
            return table if first in ("x_um", "y_um") else table.set_index(first)
    except (OSError, ValueError, IndexError) as error:
        raise BadInputError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    raise BadInputError(f"{path} is no table of points", hint="give a .parquet, .csv or .tsv")

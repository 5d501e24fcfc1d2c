"""Elements of a SpatialData store through its library: what a table's rows annotate, and where that lies."""

from __future__ import annotations

import os
import warnings as python_warnings
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.platforms.checks import check_unique
from focus_cli.platforms.formats.opening import damaged

HINT = "pip install 'focus-st[spatialdata]'"
_AGREE = 0.15  # how far two statements of an area may differ
_MICRONS = ("microns", "micron", "micrometers", "micrometer", "um", "µm")


class File(StrEnum):
    """Folders of a store."""

    TABLES = "tables"
    TABLE = "table"  # the first generation
    SHAPES = "shapes"
    LABELS = "labels"
    POINTS = "points"
    IMAGES = "images"


class Key(StrEnum):
    """Keys of a store."""

    ATTRS = "spatialdata_attrs"
    REGION = "region"
    REGION_KEY = "region_key"
    INSTANCE_KEY = "instance_key"
    GLOBAL = "global"
    RADIUS = "radius"


class Column(StrEnum):
    """Columns in µm or µm² that vendors' tables keep."""

    CELL_AREA = "cell_area"
    NUCLEUS_AREA = "nucleus_area"
    X = "center_x"
    Y = "center_y"


def _library():
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            import spatialdata
    except ImportError as error:
        raise MissingResourceError("a SpatialData store needs the library spatialdata", hint=HINT) from error
    return spatialdata


def read_part(store: Path, kind: str) -> Any:
    library = _library()
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            return library.read_zarr(store, selection=(kind,))
    except Exception as error:  # dask, zarr, anndata, pyarrow, geopandas: each raises its own
        raise damaged(store / kind, error) from error


def place_rows(store: Path, source, attrs: dict, element: str):
    """Centres of the rows' instances, their areas, µm per unit of the centres (None: not known), and warnings."""
    kind = next((k for k in (File.SHAPES, File.LABELS, File.POINTS) if _holds(store / k, element)), None)
    instance = attrs.get(Key.INSTANCE_KEY)
    if kind is None or not isinstance(instance, str) or instance not in source.obs:
        return None
    read = getattr(read_part(store, kind.value), kind.value)
    if element not in read:
        raise damaged(store / kind / element, ValueError("the element cannot be read"))
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            centres, area, systems = _centres(read[element], kind)
    except FocusError:
        raise
    except Exception as error:  # as above
        raise damaged(store / kind / element, error) from error
    ids = pd.Index(source.obs[instance].astype(str))
    check_unique(centres.index, "instances", f"{store.name}/{kind}/{element}")
    place = centres.index.get_indexer(ids)
    if (place < 0).any():
        raise BadInputError(
            f"{store.name}/{kind}/{element}: {int((place < 0).sum())} of {len(ids)} rows of the table have no shape",
            hint="the table annotates another element; choose it with --region",
        )
    system = _full_resolution(systems)
    to_system = systems[system]
    own = centres.to_numpy(np.float64)[place]
    xy = to_system(own)
    area = None if area is None else area[place]
    unit = None
    microns = next((s for s in systems if s.lower() in _MICRONS), None)
    if system.lower() in _MICRONS:
        unit = 1.0
    elif microns is not None:
        unit = systems[microns].scale / to_system.scale
    elif _own_is_um(source.obs, own, area):
        unit = 1.0 / to_system.scale
    notes = [] if system == Key.GLOBAL else [f"positions are those of the coordinate system {system!r}"]
    return xy, None if area is None else area * to_system.scale**2, unit, notes


def _holds(folder: Path, element: str) -> bool:
    return folder.is_dir() and element in os.listdir(folder)


def _centres(element, kind: File) -> tuple[pd.DataFrame, np.ndarray | None, dict[str, Affine]]:
    """Centres in the element's own units (index: instances as str), areas, and the way to each system."""
    library = _library()
    systems = {}
    for name, transform in library.transformations.get_transformation(element, get_all=True).items():
        systems[str(name)] = Affine.of(transform.to_affine_matrix(("x", "y"), ("x", "y")))
    area = None
    if kind == File.SHAPES:
        geometry = element.geometry
        table = pd.DataFrame({"x": geometry.centroid.x, "y": geometry.centroid.y}, index=element.index)
        if Key.RADIUS in element:
            area = np.pi * element[Key.RADIUS].to_numpy(np.float64) ** 2
        else:
            area = geometry.area.to_numpy(np.float64)
    elif kind == File.POINTS:
        table = element[["x", "y"]].compute()
    else:
        some = next(iter(systems))
        table = library.get_centroids(element, coordinate_system=some).compute()[["x", "y"]]
        table = pd.DataFrame(systems[some].inverse()(table.to_numpy()), index=table.index, columns=["x", "y"])
    return table.set_axis(table.index.astype(str), axis=0), area, systems


def _full_resolution(systems: dict[str, Affine]) -> str:
    """``global``, else the first system that is no reduced copy and not in µm."""
    if Key.GLOBAL in systems:
        return Key.GLOBAL.value
    full = [s for s in sorted(systems) if "downscaled" not in s and s.lower() not in _MICRONS]
    return (full or sorted(systems))[0]


def _own_is_um(obs: pd.DataFrame, own: np.ndarray, area: np.ndarray | None) -> bool:
    """Whether the element's own unit is µm, by what the table repeats in µm (Xenium: areas; MERSCOPE: centres)."""
    if area is not None:
        for column in (Column.CELL_AREA, Column.NUCLEUS_AREA):
            if column in obs:
                stated = pd.to_numeric(obs[column], errors="coerce").to_numpy(np.float64)
                known = np.isfinite(stated) & (stated > 0) & (area > 0)
                if known.any() and abs(np.median(area[known] / stated[known]) - 1) < _AGREE:
                    return True
    if Column.X in obs and Column.Y in obs:
        stated = obs[[Column.X, Column.Y]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
        extent = np.ptp(own, axis=0).max()
        return bool(extent > 0 and np.nanmedian(np.abs(stated - own)) < 0.01 * extent)
    return False

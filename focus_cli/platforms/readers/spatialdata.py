"""A SpatialData store (``.zarr``), as sopa and spatialdata-io write it.

Read with the library of that name, which is an extra (``focus-st[spatialdata]``) because it brings dask, xarray and
geopandas: three generations of the format, two of zarr, circles, polygons and label pictures, and chains of
transforms are its business, and reading them by other means would be lighter but not as sure. Only tables, and the
element that the table annotates, are read; the store's pictures are never opened.

A table's positions are the centres of the elements it annotates, taken to the coordinate system ``global`` (else to
that of full resolution). What a unit of it is in µm, the format does not state: it is known where the array is
Visium's, where bins state their size, where another system is in microns, or where the cells' table repeats areas or
centres in µm; else ``--mpp`` is needed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.core.missing import texts
from focus_cli.core.storage import Footprint, PlatformInfo
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.zarr_folder import require_zarr
from focus_cli.platforms import images, pitch
from focus_cli.platforms.assemble import assemble, cell_footprint
from focus_cli.platforms.checks import PROTEIN, check_positions, check_unique, choose_region
from focus_cli.platforms.formats.anncounts import choose_counts
from focus_cli.platforms.formats.annparts import AnnTable
from focus_cli.platforms.formats.annpositions import positions
from focus_cli.platforms.formats.anntable import of_anndata
from focus_cli.platforms.formats.sdata import File, Key, place_rows, read_part
from focus_cli.platforms.frames import choose_frame
from focus_cli.platforms.readers.anndata import array_columns, visium_fit
from focus_cli.platforms.readers.visium import PITCH_UM, SPOT_UM
from focus_cli.platforms.sample import Detection, RawSample

NAME = "spatialdata"
LOOKS_FOR = "a SpatialData .zarr store"
_BIN = re.compile(r"square_(\d{3})um")


def find_store(path: Path) -> Path | None:
    """The store that `path` is, or the only one in the folder that it is."""
    if not path.is_dir():
        return None
    stores = [path] if _is_store(path) else sorted(p for p in path.glob("*.zarr") if _is_store(p))
    return stores[0] if len(stores) == 1 else None


def _is_store(path: Path) -> bool:
    marked = any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zmetadata"))
    return marked and any((path / name).is_dir() for name in File)


def _attributes(store: Path) -> dict[str, Any]:
    for name in ("zarr.json", ".zattrs"):
        try:
            found = read_json_object(store / name)
            found = found.get("attributes", found) if name == "zarr.json" else found
            return found if isinstance(found, dict) else {}
        except FocusError:
            continue
    return {}


def detect(path: Path) -> Detection | None:
    """Recognise a store by its folders."""
    store = find_store(path)
    if store is None:
        return None
    attributes = _attributes(store).get(Key.ATTRS)
    version = str(attributes.get("version", "")) if isinstance(attributes, dict) else ""
    held = tuple(f"{store.name}/{name}" for name in File if (store / name).is_dir())
    tables = (store / File.TABLES).is_dir() or (store / File.TABLE).is_dir()
    return Detection(NAME, version, held, () if tables else ("the store holds no table",))


def read(
    path: Path,
    *,
    image: Path | None = None,
    mpp: float | None = None,
    table: str | None = None,
    region: str | None = None,
) -> RawSample:
    """Read one table of a store, and the places of what it annotates.

    Parameters
    ----------
    path
        The ``.zarr`` folder, or a folder with no other.
    image
        The H&E, a plain file on the grid of the coordinate system; the store's own pictures are not used.
    mpp
        µm per unit of the coordinate system, where the store does not state it.
    table
        Name of the table, where there are several.
    region
        Name of the element, where the table annotates several; or of the section, where one element holds several.

    Raises
    ------
    UsageError
        If there are several tables or regions and none, or an unknown one, is chosen.
    MissingResourceError
        If the library is not installed, the store holds no table, or µm per pixel is unknown.
    BadInputError
        If the store is damaged or its content cannot be used.
    """
    store = find_store(Path(path))
    if store is None:
        raise BadInputError(f"{path}: no SpatialData store, or several", hint=f"give {LOOKS_FOR}")
    require_zarr(store)
    tables = read_part(store, "tables").tables
    if not tables:
        raise MissingResourceError(f"{store}: the store holds no table: there are no counts", hint="aggregate first")
    name = _choose(store, "table", list(tables), table)
    source = tables[name]
    warnings: list[str] = []
    attrs = source.uns.get(Key.ATTRS)
    attrs = attrs if isinstance(attrs, dict) else {}
    element, source, region = _region_of(store, name, source, attrs, region)
    held = of_anndata(source, f"{store.name}/{name}")
    placed = place_rows(store, source, attrs, element) if element else None
    if placed is None:
        own = positions(held)
        xy, area, unit = own.xy, None, 1.0 if own.in_um else None
        warnings += own.warnings
        warnings.append(f"{held.name}: no element states its position; obsm['spatial'] is used as it is")
    else:
        xy, area, unit, notes = placed
        warnings += notes
    frame = choose_frame(held.obs, xy, where=held.name, names=held.obs.index, region=region)
    warnings += frame.warnings
    held, xy, area = held.take(frame.rows), xy[frame.rows], None if area is None else area[frame.rows]
    check_positions(xy, held.name)
    check_unique(held.obs.index, "locations", held.name)
    found = choose_counts(held)
    warnings += found.warnings
    scale, footprint, technology, notes = _scale(held, name, xy, area, unit, mpp)
    warnings += notes
    pictures = (
        sorted(p.name for p in (store / File.IMAGES).iterdir() if p.is_dir()) if (store / File.IMAGES).is_dir() else []
    )
    if pictures and image is None:
        warnings.append(
            f"the store's images ({', '.join(pictures[:5])}) are not used: "
            "save the H&E as a plain file and pass --image"
        )
    sample = assemble(
        platform=PlatformInfo(
            name=NAME,
            version=detect(store).version,
            technology=technology,
            resolution_um=footprint.size_um,
        ),
        counts=found.counts,
        names=held.obs.index,
        genes=found.genes,
        xy_px=xy,
        mpp=scale,
        footprint=footprint,
        where=found.where,
        inputs={"store": store},
        warnings=warnings,
        obs=array_columns(held.obs),
        image=images.check_image(image) if image is not None else None,
        allow_real=found.intensities,
    )
    if found.proteins is not None:
        sample.adata.obsm[PROTEIN] = found.proteins
    return sample


def _choose(store: Path, what: str, names: list[str], wanted: str | None) -> str:
    if wanted is None and len(names) == 1:
        return names[0]
    return choose_region(store, names, wanted, what=what)


def _region_of(store: Path, name: str, source, attrs: dict, region: str | None):
    """The element that the table annotates, the rows of that element, and `region` if it names something else."""
    key = attrs.get(Key.REGION_KEY)
    if not isinstance(key, str) or key not in source.obs:
        return None, source, region
    rows = texts(source.obs[key])
    regions = sorted(set(rows.tolist()) - {""})
    if not regions:
        return None, source, region
    if len(regions) == 1:
        return regions[0], source[rows != ""], None if region == regions[0] else region
    element = choose_region(store / name, regions, region)
    return element, source[rows == element].copy(), None


def _scale(held: AnnTable, name: str, xy: np.ndarray, area: np.ndarray | None, unit: float | None, mpp: float | None):
    """µm per unit, footprint, technology, and warnings."""
    bins = _BIN.search(name)
    if bins and {"array_row", "array_col"} <= set(held.obs):
        size = float(bins.group(1))
        arrayed = array_columns(held.obs)
        fit = pitch.fit_pitch(pitch.square_um(arrayed["array_row"], arrayed["array_col"], size), xy)
        scale, notes = pitch.choose_mpp(given=mpp, vendor=unit, fit=fit, where=held.name)
        return scale, Footprint("square", size, size), "sequencing", notes
    fit = visium_fit(held.obs, xy)
    scale, notes = pitch.choose_mpp(given=mpp, vendor=unit, fit=fit, where=held.name)
    if fit is not None:
        return scale, Footprint("circle", SPOT_UM, PITCH_UM), "sequencing", notes
    return scale, cell_footprint(xy * scale, None if area is None else area * scale**2), "imaging", notes

"""A SpatialData store: the picture, the outlines of the locations, and a table with the analysis results.

Coordinate systems: ``global``, full-resolution pixels as obsm["spatial"] has them, and ``um`` where the scale is known.
Dense matrices go from file to store block by block.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import MissingResourceError
from focus_cli.core.h5ad.spatial_file import SpatialFile, read_node
from focus_cli.core.storage import atomic_directory
from focus_cli.core.storage.column_names import make_storable
from focus_cli.core.storage.kinds import SPATIALDATA
from focus_cli.reporting.export.geometry import outline, picture
from focus_cli.reporting.export.joined import Additions, sample_name

LOCATIONS, IMAGE, TABLE = "locations", "image", "table"
_REGION, _INSTANCE = "region", "location_id"
_BLOCK = 32 << 20  # bytes of a block of a dense matrix
_PYRAMID_FROM = 1024  # px


def write_spatialdata(
    out: Path, file: SpatialFile, found: Additions, record: dict[str, Any], provenances: dict[str, Any], overwrite: bool
) -> None:
    """Write the store.

    Raises
    ------
    MissingResourceError
        If the library spatialdata is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import spatialdata
            from spatialdata.models import Image2DModel, ShapesModel, TableModel
            from spatialdata.transformations import Identity, Scale
    except ImportError as error:
        raise MissingResourceError(
            "a SpatialData store needs the library spatialdata", hint="pip install 'focus-st[spatialdata]'"
        ) from error
    mpp = file.focus.get("mpp")
    name = sample_name(file)
    ways = {"global": Identity()} | ({"um": Scale([mpp, mpp], axes=("x", "y"))} if mpp else {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = {}
        if (found_picture := picture(file)) is not None:
            rgb, scale = found_picture
            full = Scale([1 / scale, 1 / scale], axes=("x", "y"))
            image_ways = {"global": full}
            if mpp:
                image_ways["um"] = Scale([mpp / scale, mpp / scale], axes=("x", "y"))
            pyramid = {"scale_factors": [2, 2]} if max(rgb.shape[:2]) >= _PYRAMID_FROM else {}
            images[f"{name}_{IMAGE}"] = Image2DModel.parse(
                np.ascontiguousarray(rgb.transpose(2, 0, 1)),
                dims=("c", "y", "x"),
                c_coords=["r", "g", "b"],
                transformations=image_ways,
                **pyramid,
            )
        region = f"{name}_{LOCATIONS}"
        shape = outline(file)
        if shape.square:
            shapes = ShapesModel.parse(_squares(file, shape.size), transformations=ways)
        else:
            shapes = ShapesModel.parse(
                file.xy, geometry=0, radius=shape.size / 2, index=file.obs.index, transformations=ways
            )
        table = TableModel.parse(
            _table(file, found, record, provenances, region),
            region=region,
            region_key=_REGION,
            instance_key=_INSTANCE,
        )
        store = spatialdata.SpatialData(images=images, shapes={region: shapes}, tables={TABLE: table})
        with atomic_directory(out, overwrite, kind=SPATIALDATA) as temporary:
            temporary.rmdir()  # the library makes it, and refuses one that is there
            store.write(temporary)


def _squares(file: SpatialFile, size: float) -> Any:
    import geopandas
    import shapely

    low, high = file.xy - size / 2, file.xy + size / 2
    return geopandas.GeoDataFrame(geometry=shapely.box(*low.T, *high.T), index=file.obs.index)


def _table(
    file: SpatialFile, found: Additions, record: dict[str, Any], provenances: dict[str, Any], region: str
) -> Any:
    import anndata
    import pandas as pd
    from spatialdata import sanitize_table

    from focus_cli.reporting.export.anndata_file import analysis_records, focus_record

    obs = found.obs.copy()
    obs[_REGION] = pd.Categorical([region] * len(obs))
    obs[_INSTANCE] = obs.index.to_numpy(dtype=object)
    table = anndata.AnnData(X=_lazy(file.handle.get("X"), file), obs=obs, var=found.var)
    for layer in sorted(file.handle.get("layers", ())):
        table.layers[layer] = _lazy(file.handle[f"layers/{layer}"], file)
    for key in sorted(file.handle.get("obsm", ())):
        table.obsm[key] = _held(file.obsm(key))
    for key in sorted(file.handle.get("varm", ())):
        table.varm[key] = read_node(file.handle[f"varm/{key}"], file.path)
    for key, value in sorted(found.obsm.items()):
        table.obsm[key] = value
    table.uns[keys.UNS] = focus_record(file, record)
    for key, value in sorted(found.uns.items()):
        table.uns[key] = value
    if found.parts:
        table.uns[keys.UNS_ANALYSES] = analysis_records(found, provenances)
    make_storable(table)
    sanitize_table(table)
    return table


def _held(value: Any) -> Any:
    return value.astype(np.float32) if getattr(value, "dtype", None) == np.float16 else value


def _lazy(node: Any, file: SpatialFile) -> Any:
    """A matrix that is read when it is written; sparse ones are small enough to hold."""
    if node is None:
        return None
    if not isinstance(node, h5py.Dataset):
        return read_node(node, file.path)
    import dask.array as da

    width = node.shape[1]
    step = node.chunks[0] if node.chunks else 1
    rows = max(step, int(_BLOCK / max(1, width * node.dtype.itemsize) / step) * step)
    return da.from_array(node, chunks=(min(rows, node.shape[0]), width), lock=True)

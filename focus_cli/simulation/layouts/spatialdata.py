"""A SpatialData store, as spatialdata-io makes of a Xenium run: circles in µm, annotated by a table."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import MissingResourceError
from focus_cli.simulation.layouts.section import Section, WrittenSection

_CIRCLES = "cell_circles"


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``NAME.zarr`` with the circles' way to ``global`` (pixels of the H&E), and the H&E beside it.

    Raises
    ------
    MissingResourceError
        If the library is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from spatialdata import SpatialData
            from spatialdata.models import ShapesModel, TableModel
            from spatialdata.transformations import Scale
    except ImportError as error:
        raise MissingResourceError(
            "a SpatialData store needs the library spatialdata", hint="pip install 'focus-st[spatialdata]'"
        ) from error
    cells = section.locations
    image = folder / f"{section.name}_HE.tif"
    section.write_image(image)
    index = pd.Index(cells.names.astype(object))
    circles = ShapesModel.parse(
        cells.xy_um,
        geometry=0,
        radius=cells.size_um / 2,
        index=index,
        transformations={"global": Scale([1 / cells.mpp, 1 / cells.mpp], axes=("x", "y"))},
    )
    obs = pd.DataFrame(
        {
            "region": pd.Categorical([_CIRCLES] * len(cells)),
            "cell_id": cells.names.astype(object),
            "cell_area": np.pi / 4 * cells.size_um**2,
        },
        index=index,
    )
    var = pd.DataFrame(
        {keys.GENE_ID: section.gene_ids.astype(object), keys.FEATURE_TYPE: "Gene Expression"},
        index=pd.Index(section.symbols.astype(object)),
    )
    table = anndata.AnnData(X=section.counts.astype(np.float32), obs=obs, var=var)
    table.obsm[keys.SPATIAL] = cells.xy_um
    table = TableModel.parse(table, region=_CIRCLES, region_key="region", instance_key="cell_id")
    path = folder / f"{section.name}.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        SpatialData(shapes={_CIRCLES: circles}, tables={"table": table}).write(path)
    return WrittenSection(path, image)

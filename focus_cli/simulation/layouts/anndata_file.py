"""A section as one AnnData file, as a laboratory keeps it after loading Visium with scanpy."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.storage import write_anndata
from focus_cli.simulation.layouts.section import Section, WrittenSection
from focus_cli.simulation.layouts.visium import scale_factors


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``NAME.h5ad`` with raw counts and positions in pixels, and the image beside it."""
    image = folder / "tissue_image.tif"
    thumbnails = section.write_image(image)
    spots = section.locations
    obs = pd.DataFrame(
        {
            keys.IN_TISSUE: spots.in_tissue.astype(int),
            keys.ARRAY_ROW: spots.array_row,
            keys.ARRAY_COL: spots.array_col,
        },
        index=pd.Index(spots.names.astype(object)),
    )
    var = pd.DataFrame(
        {keys.GENE_ID: section.gene_ids, keys.FEATURE_TYPE: "Gene Expression"},
        index=pd.Index(section.symbols.astype(object)),
    )
    adata = anndata.AnnData(X=section.counts.astype(np.float32), obs=obs, var=var)
    adata.obsm[keys.SPATIAL] = spots.px
    adata.uns[keys.UNS_SPATIAL] = {
        section.name: {
            "images": {"hires": thumbnails.hires, "lowres": thumbnails.lowres},
            "scalefactors": scale_factors(section.mpp, thumbnails),
            "metadata": {"chemistry_description": "Visium V1 Slide - 3' Gene Expression"},
        }
    }
    path = folder / f"{section.name}.h5ad"
    write_anndata(adata, path)
    return WrittenSection(path, image)

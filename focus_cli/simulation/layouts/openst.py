"""Open-ST: segmented cells in one AnnData file, as openst's transcript_assign writes it, and the H&E."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.storage import write_anndata
from focus_cli.simulation.layouts.section import Section, WrittenSection


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``NAME_by_cell.h5ad`` and the image.

    Positions are (row, column) in pixels of the image, as openst has them; the first row of the table is what
    lies in no cell (label 0), here empty.
    """
    image = folder / f"{section.name}_HE.tif"
    section.write_image(image)
    cells = section.locations
    rows_columns = np.vstack([[0.0, 0.0], cells.px[:, ::-1]])
    labels = np.concatenate([[0], cells.names.astype(int)])
    obs = pd.DataFrame(
        {
            "x_pos": rows_columns[:, 0],
            "y_pos": rows_columns[:, 1],
            "cell_ID_mask": labels,
            "n_joined": np.concatenate([[0], np.full(len(cells), 200)]),
        },
        index=pd.Index(labels.astype(str).astype(object), name="cell_bc"),
    )
    var = pd.DataFrame(index=pd.Index(section.symbols.astype(object)))
    empty = sparse.csr_matrix((1, section.counts.shape[1]), dtype=section.counts.dtype)
    counts = sparse.vstack([empty, section.counts], format="csr").astype(np.float32)
    adata = anndata.AnnData(X=counts, obs=obs, var=var)
    adata.obsm["spatial"] = rows_columns
    path = folder / f"{section.name}_by_cell.h5ad"
    write_anndata(adata, path)
    return WrittenSection(path, image)

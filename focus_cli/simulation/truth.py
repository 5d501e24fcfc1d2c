"""Write the truth: what every location and every place on tissue is expected to express."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.storage import write_anndata
from focus_cli.simulation.arrays import Locations, majority_domain
from focus_cli.simulation.expression import Programs
from focus_cli.simulation.tissue import CELL_TYPES, Cells, Tissue

if TYPE_CHECKING:
    import pandas as pd


def write_truth(
    path: Path,
    blocks: Iterable[tuple[slice, np.ndarray]],
    *,
    locations: Locations,
    tissue: Tissue,
    cells: Cells,
    programs: Programs,
    weights: sparse.csr_matrix,
    var: pd.DataFrame,
    obs: dict[str, np.ndarray] | None = None,
    facts: dict[str, Any],
) -> None:
    """Write a truth file; X is streamed, a block of locations at a time.

    Parameters
    ----------
    path
        The ``.h5ad`` to write.
    blocks
        Rows and their expected counts at an efficiency of one, float32 (rows, genes), in order.
    var
        Columns of var beside the programs' own, one row for each gene.
    obs
        Columns of obs beside the domain.
    facts
        Goes to ``uns["focus_truth"]``.
    """
    import anndata
    import h5py
    import pandas as pd

    frame = pd.DataFrame(
        {
            keys.ARRAY_ROW: locations.array_row,
            keys.ARRAY_COL: locations.array_col,
            keys.DOMAIN: pd.Categorical(majority_domain(tissue, locations)),
            **(obs or {}),
        },
        index=pd.Index(locations.names.astype(object)),
    )
    adata = anndata.AnnData(obs=frame, var=var)
    adata.obsm[keys.SPATIAL] = locations.px
    adata.obsm[keys.SPATIAL_UM] = locations.xy_um
    adata.obsm["cell_type_proportions"] = pd.DataFrame(
        type_proportions(weights, cells), index=frame.index, columns=list(CELL_TYPES)
    )
    adata.uns[keys.UNS_TRUTH] = {"kind": "expected", "task": "truth", "scale": "linear", **facts}
    write_anndata(adata, path)
    shape = (len(locations), programs.n_genes)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        matrix = file.create_dataset("X", shape, dtype="<f4", chunks=(min(512, shape[0]), shape[1]))
        matrix.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for rows, values in blocks:
            matrix[rows] = values


def type_proportions(weights: sparse.csr_matrix, cells: Cells) -> np.ndarray:
    """Share of each cell type among the cells under each footprint: float32 (locations, types).

    Cells count by how much of them the footprint covers, not by their RNA. Rows sum to 1, or to 0 where no
    cell is near.
    """
    one_hot = sparse.csr_matrix(
        (np.ones(len(cells)), (np.arange(len(cells)), cells.kind)), shape=(len(cells), len(CELL_TYPES))
    )
    share = (weights @ one_hot).toarray()
    total = share.sum(axis=1, keepdims=True)
    return np.divide(share, total, out=np.zeros_like(share), where=total > 0).astype(np.float32)

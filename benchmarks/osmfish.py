"""The osmFISH section (Codeluppi et al. 2018, mouse cortex) as an AnnData file that ``focus preprocess`` reads.

    python benchmarks/osmfish.py --out results/benchmark/osmfish.h5ad

Genes are given the symbols of their human orthologues, which for these 33 are the mouse symbols in capitals, so that
a model of human tissue can be asked about them.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

UM_PER_PX = 0.065  # of the microscope, Codeluppi et al. 2018
FILE = Path("native") / "osmfish" / "osmFISH_SScortex_mouse_all_cells.loom"


def convert(loom: Path) -> anndata.AnnData:
    """Cells that the authors kept: counts, positions, types and regions."""
    with h5py.File(loom, "r") as file:
        names = ("CellID", "X", "Y", "Valid", "ClusterName", "Region")
        columns = {name: file[f"col_attrs/{name}"][:] for name in names}
        counts = file["matrix"][:].T
        genes = np.char.upper(file["row_attrs/Gene"][:].astype(str))
    kept = columns["Valid"] == 1
    obs = pd.DataFrame(
        {"cell_type": columns["ClusterName"][kept].astype(str), "region": columns["Region"][kept].astype(str)},
        index=np.char.add("cell", columns["CellID"][kept].astype(str)),
    )
    adata = anndata.AnnData(sparse.csr_matrix(counts[kept], dtype=np.float32), obs=obs, var=pd.DataFrame(index=genes))
    px = np.column_stack([columns["X"], columns["Y"]])[kept]
    px -= px.min(axis=0)
    adata.obsm["spatial"], adata.obsm["spatial_um"] = px, px * UM_PER_PX
    return adata


def main() -> None:
    """Read from FOCUS_DATA, write an .h5ad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FOCUS_DATA", "../shared/data")))
    options = parser.parse_args()
    loom = options.data / FILE
    if not loom.is_file():
        parser.error(f"no such file: {loom}; set FOCUS_DATA")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    convert(loom).write_h5ad(options.out, compression="gzip")


if __name__ == "__main__":
    main()

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
import pandas as pd

from focus_cli.platforms import read

FILE = Path("native") / "osmfish" / "osmFISH_SScortex_mouse_all_cells.loom"


def convert(loom: Path) -> anndata.AnnData:
    """Cells that the authors kept: counts, positions from the section's corner, types and regions."""
    sample = read(loom)
    source = sample.adata
    obs = source.obs[["cell_type", "region"]].set_axis("cell" + source.obs_names, axis=0)
    adata = anndata.AnnData(source.X, obs=obs, var=pd.DataFrame(index=source.var_names.str.upper()))
    px = source.obsm["spatial"] - source.obsm["spatial"].min(axis=0)
    adata.obsm["spatial"], adata.obsm["spatial_um"] = px, px * sample.mpp
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

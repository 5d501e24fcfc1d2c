"""One deconvolution package in an environment of its own: spots and cells in, shares of types out.

    PEER/bin/python benchmarks/peers/peer_celltypes.py flashdeconv spots.h5ad cells.h5ad out.tsv

flashdeconv: ``pip install flashdeconv``; tangram: ``pip install tangram-sc``. Both with their defaults; Tangram maps
clusters (``mode="clusters"``), 500 epochs, cells' density uniform.
"""

from __future__ import annotations

import sys

import anndata as ad
import numpy as np
import pandas as pd


def flashdeconv(spots: ad.AnnData, cells: ad.AnnData, types: list[str]) -> np.ndarray:
    """Mean profiles of types, spatial smoothing chosen by the package."""
    from flashdeconv import FlashDeconv

    label = cells.obs["cell_type"].astype(str).to_numpy()
    profiles = np.array([np.asarray(cells.X[label == name].mean(axis=0)).ravel() for name in types])
    return np.asarray(FlashDeconv(random_state=0).fit_transform(spots.X, profiles, np.asarray(spots.obsm["spatial"])))


def tangram(spots: ad.AnnData, cells: ad.AnnData, types: list[str]) -> np.ndarray:
    """Clusters mapped onto space."""
    import tangram as tg

    tg.pp_adatas(cells, spots, genes=None)
    options = {"mode": "clusters", "cluster_label": "cell_type", "density_prior": "uniform", "num_epochs": 500}
    mapped = tg.map_cells_to_space(cells, spots, device="cpu", random_state=0, verbose=False, **options)
    table = pd.DataFrame(np.asarray(mapped.X).T, columns=mapped.obs["cell_type"].astype(str).to_numpy())
    return table.reindex(columns=types).fillna(0).to_numpy()


def main() -> None:
    """Read, run, write a table of shares."""
    name, spots, cells, out = sys.argv[1:]
    spots, cells = ad.read_h5ad(spots), ad.read_h5ad(cells)
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(str).astype("category")
    types = sorted(cells.obs["cell_type"].unique())
    share = {"flashdeconv": flashdeconv, "tangram": tangram}[name](spots.copy(), cells.copy(), types)
    share = np.maximum(np.nan_to_num(share), 0)
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
    pd.DataFrame(share, index=spots.obs_names, columns=types).to_csv(out, sep="\t")


if __name__ == "__main__":
    main()

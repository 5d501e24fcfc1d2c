"""SpaGCN (Hu et al. 2021, doi:10.1038/s41592-021-01255-8), without histology, with the settings of its tutorial."""

from __future__ import annotations

import contextlib
import io
import random

import anndata
import numpy as np
import scanpy as sc
import SpaGCN
import torch

PACKAGE = "SpaGCN"
SHARE = 0.5  # p: of a location's expression that comes from its neighbours


def domains(sample: anndata.AnnData, n_domains: int, seed: int) -> np.ndarray:
    """One label for each location, int (n,)."""
    adata = sample.copy()
    adata.var_names_make_unique()
    sc.pp.filter_genes(adata, min_cells=3)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    adata.X = np.asarray(adata.X.todense())
    xy = np.asarray(adata.obsm["spatial_um"], np.float32)
    with contextlib.redirect_stdout(io.StringIO()):
        adjacency = SpaGCN.calculate_adj_matrix(x=xy[:, 0], y=xy[:, 1], histology=False)
        reach = SpaGCN.search_l(SHARE, adjacency, start=0.01, end=1000, tol=0.01, max_run=100)
        random.seed(seed), torch.manual_seed(seed), np.random.seed(seed)  # noqa: NPY002, it draws from all three
        network = SpaGCN.SpaGCN()
        network.set_l(reach)
        # Its start by k-means gives the number that is asked for; that by Louvain would have to be searched for it.
        network.train(
            adata,
            adjacency,
            num_pcs=min(50, adata.n_vars - 1),
            init_spa=True,
            init="kmeans",
            n_clusters=n_domains,
            tol=5e-3,
            lr=0.05,
            max_epochs=200,
        )
        labels, _ = network.predict()
    return np.asarray(labels, int)

"""BANKSY (Singhal et al. 2024, doi:10.1038/s41588-024-01664-3): expression beside that of the neighbourhood.

Settings of its domain tutorial: 15 neighbours, one order of the azimuthal filter, λ = 0.8, 20 components; then Leiden.
"""

from __future__ import annotations

import contextlib
import io

import anndata
import matplotlib
import numpy as np
import scanpy as sc
from banksy.embed_banksy import generate_banksy_matrix
from banksy.initialize_banksy import initialize_banksy
from leiden_to import leiden_to
from sklearn.decomposition import PCA

PACKAGE = "pybanksy"
LAMBDA = 0.8
COMPONENTS = 20
GENES = 2000


def domains(sample: anndata.AnnData, n_domains: int, seed: int) -> np.ndarray:
    """One label for each location, int (n,)."""
    matplotlib.use("Agg")
    adata = sample.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    if adata.n_vars > GENES:
        logged = sc.pp.log1p(adata, copy=True)
        sc.pp.highly_variable_genes(logged, n_top_genes=GENES)
        adata = adata[:, logged.var["highly_variable"]].copy()
    sc.pp.scale(adata)
    xy = np.asarray(adata.obsm["spatial_um"])
    adata.obs["x"], adata.obs["y"], adata.obsm["xy"] = xy[:, 0], xy[:, 1], xy
    with contextlib.redirect_stdout(io.StringIO()):
        found = initialize_banksy(
            adata,
            ("x", "y", "xy"),
            num_neighbours=15,
            nbr_weight_decay="scaled_gaussian",
            max_m=1,
            plt_edge_hist=False,
            plt_nbr_weights=False,
            plt_theta=False,
        )
        _, matrix = generate_banksy_matrix(adata, found, [LAMBDA], max_m=1, verbose=False)
    values = np.nan_to_num(np.asarray(matrix.X, np.float64))
    components = PCA(min(COMPONENTS, *values.shape), random_state=seed).fit_transform(values)
    return leiden_to(components, n_domains, seed)

"""GraphST (Long et al. 2023, doi:10.1038/s41467-023-36796-3) with its defaults; its vectors are clustered as it does.

The authors cluster 20 components with mclust (model EEE: Gaussians with one covariance), which needs R. The same model
is fitted with scikit-learn here; their optional smoothing of labels (refinement) is left out, as for all methods.
"""

from __future__ import annotations

import contextlib
import io

import anndata
import numpy as np
import scanpy as sc
import torch
from GraphST.GraphST import GraphST
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

PACKAGE = "GraphST"
COMPONENTS = 20
GENES = 3000


def domains(sample: anndata.AnnData, n_domains: int, seed: int) -> np.ndarray:
    """One label for each location, int (n,)."""
    adata = sample.copy()
    adata.var_names_make_unique()
    adata.obsm["spatial"] = np.asarray(adata.obsm["spatial_um"])
    if (
        adata.n_vars < GENES
    ):  # fewer than it would choose, which it does not allow for: its own preparation of all of them
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        sc.pp.scale(adata, zero_center=False, max_value=10)
        adata.var["highly_variable"] = True
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        model = GraphST(adata, device=torch.device("cpu"), random_seed=seed)
        adata = model.train()
    values = PCA(min(COMPONENTS, adata.obsm["emb"].shape[1]), random_state=seed).fit_transform(adata.obsm["emb"])
    mixture = GaussianMixture(n_domains, covariance_type="tied", n_init=5, random_state=seed, reg_covar=1e-6)
    return mixture.fit_predict(values.astype(np.float64))

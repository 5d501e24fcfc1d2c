"""Cell states: clusters of the reference's cells, each with its mean expression."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError


def log_normalise(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """log1p of counts per 10,000, sparse; empty rows stay empty."""
    total = np.asarray(counts.sum(axis=1)).ravel()
    scale = np.divide(keys.TARGET_SUM, total, out=np.zeros_like(total), where=total > 0)
    normal = (sparse.diags(scale) @ counts).tocsr().astype(np.float32)
    normal.data = np.log1p(normal.data)
    return normal


def variable_genes(log_counts: sparse.csr_matrix, n: int) -> np.ndarray:
    """Indices of the `n` genes with the largest variance beyond that of genes of equal mean, ascending.

    The excess is the residual of log variance on a running median over genes ordered by mean.
    """
    mean = np.asarray(log_counts.mean(axis=0)).ravel()
    second = np.asarray(log_counts.multiply(log_counts).mean(axis=0)).ravel()
    variance = np.maximum(second - mean**2, 0)
    detected = np.flatnonzero(variance > 1e-8)
    if len(detected) <= n:
        return detected
    order = detected[np.argsort(mean[detected], kind="stable")]
    log_variance = pd.Series(np.log(variance[order]))
    excess = log_variance - log_variance.rolling(201, center=True, min_periods=1).median()
    return np.sort(order[np.argsort(-excess.to_numpy(), kind="stable")[:n]])


def build_prototypes(cells: AnnData, n_states: int, seed: int) -> AnnData:
    """Cluster cells into states and average their expression.

    Parameters
    ----------
    cells
        X: counts (or count-like values), CSR, cells × genes; ``obs["cell_type"]``.
    n_states
        Number of states to aim for; never more than a quarter of the cells.
    seed
        Of the principal components and of k-means.

    Returns
    -------
    AnnData, states × genes: X float32 proportions (rows sum to 1), ``obs["cell_type"]`` (majority),
    ``obs["n_cells"]``, ``obs["purity"]``. States are ordered by cell type, then size.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD

    n_states = int(max(1, min(n_states, cells.n_obs // 4)))
    log_counts = log_normalise(cells.X)
    genes = variable_genes(log_counts, 2000)
    if len(genes) < 2:
        raise BadInputError(
            f"{len(genes)} of {cells.n_vars} genes of the reference varies between cells: states need two",
            hint="give counts of all genes",
        )
    selected = log_counts[:, genes]
    n_components = max(1, min(30, len(genes) - 1, cells.n_obs - 1))
    scores = TruncatedSVD(n_components, random_state=seed).fit_transform(selected)
    labels = KMeans(n_states, n_init=4, random_state=seed).fit_predict(scores)
    members = sparse.csr_matrix((np.ones(cells.n_obs), (labels, np.arange(cells.n_obs))))
    totals = np.asarray(cells.X.sum(axis=1)).ravel()
    proportions = sparse.diags(np.divide(1, totals, out=np.zeros_like(totals), where=totals > 0)) @ cells.X
    size = np.asarray(members.sum(axis=1)).ravel()
    mean = np.asarray((members @ proportions).todense()) / size[:, None]
    composition = pd.crosstab(labels, cells.obs[keys.CELL_TYPE].astype(str).to_numpy())
    majority = composition.idxmax(axis=1).to_numpy(str)
    obs = pd.DataFrame(
        {
            keys.CELL_TYPE: majority,
            "n_cells": size.astype(int),
            "purity": composition.max(axis=1).to_numpy() / size,
        }
    )
    order = np.lexsort((-obs["n_cells"].to_numpy(), obs[keys.CELL_TYPE].to_numpy(str)))
    obs = obs.iloc[order]
    rank = obs.groupby(keys.CELL_TYPE).cumcount() + 1
    obs.index = [f"{name}_{k}" for name, k in zip(obs[keys.CELL_TYPE], rank)]
    return AnnData(mean[order].astype(np.float32), obs=obs, var=cells.var.copy())

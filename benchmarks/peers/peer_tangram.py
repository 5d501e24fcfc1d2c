"""Tangram (Biancalani et al. 2021): every cell mapped onto the locations, its genes carried along."""

from __future__ import annotations

from collections.abc import Sequence

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
import tangram as tg
from peer_data import Estimate, PeerError, log_cp10k, pair
from scipy import sparse

PACKAGE = "tangram-sc"
MAX_CELLS = 2000  # the mapping is a dense table of cells × locations, fitted in a thousand steps
MARKERS = 100  # per cell type, as in Tangram's tutorial


def estimate(sample: anndata.AnnData, reference: anndata.AnnData | None, genes: Sequence[str], seed: int) -> Estimate:
    """Project the scored genes from the reference with Tangram's defaults, cells mode."""
    # Tangram skips the seeds of its own where they are 0.
    np.random.seed(seed)  # noqa: NPY002
    if reference.n_obs > MAX_CELLS:
        chosen = np.random.default_rng(seed).choice(reference.n_obs, MAX_CELLS, replace=False)
        reference = reference[np.sort(chosen)].copy()
    paired = pair(sample, reference, genes)
    cells, spots = paired.cells, paired.spots
    # normalize_total of the tutorial: to the median total over all genes of the reference, not over those kept here.
    total = cells.obs["total"].to_numpy()
    cells.X = sparse.csr_matrix(sparse.diags(np.median(total) / total) @ cells.X, dtype=np.float32)
    training = _markers(cells[:, : spots.n_vars].copy())
    tg.pp_adatas(cells, spots, genes=training)
    # Tangram keeps them in the order of a set of texts, which changes from one start of Python to the next.
    for table in (cells, spots):
        table.uns["training_genes"] = sorted(table.uns["training_genes"])
    if not cells.uns["training_genes"]:
        raise PeerError("no marker gene of the reference is seen in the sample")
    mapping = tg.map_cells_to_space(cells, spots, random_state=seed, verbose=False)
    projected = tg.project_genes(mapping, cells)
    values = pd.DataFrame(np.asarray(projected.X), columns=projected.var_names)
    # Molecules of the genes that both hold, of which the sample's own total is the whole.
    measured = values[values.columns.intersection(spots.var_names)].to_numpy().sum(axis=1)
    share = paired.spots.X.sum() / sample.X.sum()
    # A gene that no cell expresses is dropped by Tangram; its projection is zero everywhere.
    names = [f"g{column}" for column in paired.columns]
    shares = values.reindex(columns=names, fill_value=0).to_numpy() / measured[:, None] * share
    settings = {
        "n_cells": cells.n_obs,
        "n_training_genes": len(cells.uns["training_genes"]),
        "mode": "cells",
        "density_prior": "rna_count_based",
        "num_epochs": len(mapping.uns["training_history"]["total_loss"]),
        "learning_rate": 0.1,
        "device": "cpu",
    }
    return Estimate(paired.genes, log_cp10k(shares), settings)


def _markers(cells: anndata.AnnData) -> list[str]:
    """The tutorial's training genes: the first markers of every cell type; all genes where there is one type."""
    sizes = cells.obs["cell_type"].value_counts() if "cell_type" in cells.obs else pd.Series(dtype=int)
    types = sizes.index[sizes > 1]  # a t-test needs two cells
    if len(types) < 2:
        return list(cells.var_names)
    cells = cells[cells.obs["cell_type"].isin(types)].copy()
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(str).astype("category")
    sc.pp.log1p(cells)
    sc.tl.rank_genes_groups(cells, "cell_type", use_raw=False, method="t-test")
    return sorted({name for row in cells.uns["rank_genes_groups"]["names"][:MARKERS] for name in row})

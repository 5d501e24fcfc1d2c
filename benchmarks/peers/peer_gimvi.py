"""gimVI (Lopez et al. 2019): one latent space for cells and locations, from which unmeasured genes are decoded."""

from __future__ import annotations

from collections.abc import Sequence

import anndata
import numpy as np
import scanpy as sc
import scvi
from peer_data import Estimate, PeerError, as_counts, log_cp10k, pair, silent_filled
from scvi.external import GIMVI

PACKAGE = "scvi-tools"
EPOCHS = 200
# Both networks and the likelihood run over all genes in every step: with the whole transcriptome it takes five times as
# long. 2,000 variable genes beside the scored ones are what single-cell analyses take.
VARIABLE_GENES = 2000


def estimate(sample: anndata.AnnData, reference: anndata.AnnData | None, genes: Sequence[str], seed: int) -> Estimate:
    """Impute the scored genes with gimVI's defaults.

    Raises
    ------
    PeerError
        If the reference does not hold counts.
    """
    counts = as_counts(reference.X)
    if counts is None:
        raise PeerError("gimvi models counts, and the reference holds none that can be told from its values")
    reference = anndata.AnnData(counts, obs=reference.obs, var=reference.var)
    paired = pair(sample, reference, genes)
    n_shared = paired.spots.n_vars
    columns = np.union1d(_variable(paired.cells[:, :n_shared].copy()), paired.columns)
    cells, spots = paired.cells[:, columns].copy(), paired.spots[:, columns[columns < n_shared]].copy()
    sc.pp.filter_cells(cells, min_counts=1)
    heard = np.asarray(spots.X.sum(axis=1)).ravel() > 0
    spots = spots[heard].copy()
    scvi.settings.seed = seed
    GIMVI.setup_anndata(spots)
    GIMVI.setup_anndata(cells)
    model = GIMVI(cells, spots)
    model.train(EPOCHS, accelerator="cpu", enable_progress_bar=False)
    _, shares = model.get_imputed_values(normalized=True)
    # Normalised, the genes that the locations were given sum to one: these are `share` of the section's molecules.
    share = spots.X.sum() / sample.X.sum()
    shares = shares[:, np.searchsorted(columns, paired.columns)] * share
    settings = {
        "n_cells": cells.n_obs,
        "n_genes_shared": spots.n_vars,
        "n_genes_model": cells.n_vars,
        "share_of_molecules": float(share),
        "max_epochs": EPOCHS,
        "n_latent": model.module.n_latent,
        "generative_distributions": "zinb, nb",
        "n_locations_without_counts": int((~heard).sum()),
    }
    return Estimate(paired.genes, log_cp10k(silent_filled(shares, heard)), settings)


def _variable(cells: anndata.AnnData) -> np.ndarray:
    """Columns of the most variable genes among cells, by scanpy's default; all where there are no more."""
    if cells.n_vars <= VARIABLE_GENES:
        return np.arange(cells.n_vars)
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    sc.pp.highly_variable_genes(cells, n_top_genes=VARIABLE_GENES)
    return np.flatnonzero(cells.var["highly_variable"])

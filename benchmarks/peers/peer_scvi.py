"""scVI (Lopez et al. 2018): a variational autoencoder of the observed counts."""

from __future__ import annotations

from collections.abc import Sequence

import anndata
import numpy as np
import scvi
from peer_data import Estimate, log_cp10k, scored_columns, silent_filled

PACKAGE = "scvi-tools"
MIN_COUNTS = 3  # a gene with fewer molecules is left out, as in scVI's tutorial


def estimate(sample: anndata.AnnData, reference: anndata.AnnData | None, genes: Sequence[str], seed: int) -> Estimate:
    """Denoise the scored genes with scVI's defaults; the reference is not used."""
    names, columns = scored_columns(sample, genes)
    kept = np.asarray(sample.X.sum(axis=0)).ravel() >= MIN_COUNTS
    kept[columns] = True
    counts = anndata.AnnData(sample.X[:, np.flatnonzero(kept)])
    counts.var_names = sample.var_names[kept]
    heard = np.asarray(counts.X.sum(axis=1)).ravel() > 0
    counts = counts[heard].copy()
    scvi.settings.seed = seed
    scvi.model.SCVI.setup_anndata(counts)
    model = scvi.model.SCVI(counts)
    model.train(accelerator="cpu", enable_progress_bar=False)
    # Shares of all the model's genes; whole tables are taken, as `gene_list` keeps the model's order, not ours.
    shares = model.get_normalized_expression(library_size=1, gene_list=list(sample.var_names[columns]))
    shares = shares[sample.var_names[columns]].to_numpy() * (counts.X.sum() / sample.X.sum())
    settings = {
        "n_genes_model": counts.n_vars,
        "max_epochs": len(model.history["elbo_train"]),
        "n_latent": model.module.n_latent,
        "gene_likelihood": model.module.gene_likelihood,
        "n_locations_without_counts": int((~heard).sum()),
    }
    return Estimate(names, log_cp10k(silent_filled(shares, heard)), settings)

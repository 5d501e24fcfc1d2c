"""MAGIC (van Dijk et al. 2018): diffusion of the observed counts over a graph of similar locations."""

from __future__ import annotations

from collections.abc import Sequence

import anndata
import magic
import numpy as np
import scprep
from peer_data import TARGET_SUM, Estimate, log_cp10k, scored_columns

PACKAGE = "magic-impute"
MIN_LOCATIONS = 10  # a gene seen in fewer is left out of the graph, as in MAGIC's tutorial


def estimate(sample: anndata.AnnData, reference: anndata.AnnData | None, genes: Sequence[str], seed: int) -> Estimate:
    """Denoise the scored genes with MAGIC's defaults; the reference is not used."""
    names, columns = scored_columns(sample, genes)
    kept = np.asarray((sample.X > 0).sum(axis=0)).ravel() >= MIN_LOCATIONS
    kept[columns] = True
    kept = np.flatnonzero(kept)
    normalised = scprep.normalize.library_size_normalize(sample.X[:, kept], rescale=TARGET_SUM)
    operator = magic.MAGIC(random_state=seed, verbose=0)
    scored = np.searchsorted(kept, columns)
    smooth = np.asarray(operator.fit_transform(scprep.transform.sqrt(normalised), genes=scored)) ** 2
    # The square of a mean of roots is below the mean: one factor for all genes and locations makes up for it.
    level = normalised[:, scored].sum() / max(smooth.sum(), 1e-12)
    settings = operator.get_params() | {
        "n_pca": operator.graph.n_pca,
        "n_genes_graph": len(kept),
        "level": float(level),
    }
    return Estimate(names, log_cp10k(level * smooth / TARGET_SUM), settings)

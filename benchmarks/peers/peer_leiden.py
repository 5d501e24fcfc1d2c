"""Leiden (Traag et al. 2019) on vectors that the caller has put into obsm["vectors"]."""

from __future__ import annotations

import anndata
import numpy as np
from leiden_to import leiden_to

PACKAGE = "leidenalg"


def domains(sample: anndata.AnnData, n_domains: int, seed: int) -> np.ndarray:
    """One label for each location, int (n,)."""
    return leiden_to(sample.obsm["vectors"], n_domains, seed)

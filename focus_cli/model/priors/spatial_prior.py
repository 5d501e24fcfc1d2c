"""A fitted prior: the loadings of genes on factors, their variances, and the genes' own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from focus_cli.core import keys


@dataclass(frozen=True)
class SpatialPrior:
    """Gene vectors and baselines, for every gene that was measured or that the reference contains.

    Attributes
    ----------
    genes, gene_ids
        Sorted names, G, and the Ensembl id of each, an empty string where it is not known.
    baseline
        float64, G: expected share of a location's counts; measured genes sum to 1.
    level_error
        float32, G: standard deviation of the log of the baseline where the reference alone states it, else 0.
    loadings
        float32, G × K: W, relative deviation per unit of the whitened latent.
    reference_loadings
        float32, G × K: the same, as the reference alone predicts them; 0 for genes unknown to it.
    measured, in_reference
        bool, G.
    variance
        float32, K: prior variance of each factor before whitening, descending.
    """

    genes: np.ndarray
    gene_ids: np.ndarray
    baseline: np.ndarray
    level_error: np.ndarray
    loadings: np.ndarray
    reference_loadings: np.ndarray
    measured: np.ndarray
    in_reference: np.ndarray
    variance: np.ndarray

    @property
    def var(self) -> pd.DataFrame:
        """Names and ids as a table, for matching with other tables."""
        return pd.DataFrame({keys.GENE_ID: self.gene_ids}, index=self.genes)

    @property
    def n_factors(self) -> int:
        """K."""
        return self.loadings.shape[1]

    def rows(self, names: np.ndarray) -> np.ndarray:
        """Row of each name in `genes`, or −1."""
        position = np.searchsorted(self.genes, names)
        position = np.minimum(position, len(self.genes) - 1)
        return np.where(self.genes[position] == names, position, -1)


def merge_genes(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables of genes as one: each name once, in order of appearance, with the first id that any table holds."""
    merged = pd.concat(tables)
    known = pd.concat([merged[merged[keys.GENE_ID] != ""], merged])
    return known[~known.index.duplicated()].loc[merged.index.unique()]

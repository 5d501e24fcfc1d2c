"""Inputs of the baselines: the observed sample, other samples, reference cells; never the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.core import keys
from focus_cli.core.storage import StoredSample
from focus_cli.evaluation.normalise import log1p_cp10k, row_sums
from focus_cli.evaluation.prediction import Prediction
from focus_cli.experts import NotRunnable

if TYPE_CHECKING:
    from anndata import AnnData


_MAY_BE_EMPTY = 0.1  # largest share of locations without counts


class Section:
    """The measured locations of one stored sample.

    Parameters
    ----------
    names
        Of the locations, (n,).
    xy_um
        Positions, (n, 2).
    genes
        The panel, (G,).
    counts
        Counts, CSR (n, G); locations without any are left out, they are not measured.
    image
        Positions (m, 2) → image features float32 (m, F), or None without an image.
    var
        The panel with its names in other systems, one row for each gene.
    """

    def __init__(
        self,
        names: np.ndarray,
        xy_um: np.ndarray,
        genes: np.ndarray,
        counts: sparse.csr_matrix,
        image: Callable[[np.ndarray], np.ndarray] | None = None,
        var: pd.DataFrame | None = None,
    ) -> None:
        measured = np.flatnonzero(row_sums(counts) > 0)
        self.names, self.xy_um = names[measured], xy_um[measured]
        self.var = pd.DataFrame(index=genes) if var is None else var
        self.genes, self.counts, self.image = genes, sparse.csr_matrix(counts)[measured], image
        self._position = {gene: i for i, gene in enumerate(genes)}

    @classmethod
    def read(cls, sample: StoredSample, target: pd.DataFrame | None = None) -> Section:
        """Read a stored sample; its image features are read when they are first used.

        Parameters
        ----------
        target
            ``var`` of the scored section. Genes of a sample of another species take its names by one-to-one
            orthologues; those that it does not contain are left out.
        """
        adata = sample.read()
        if target is not None:
            adata = _under_names_of(target, adata)
        return cls(
            adata.obs_names.to_numpy().astype(str),
            np.asarray(adata.obsm[keys.SPATIAL_UM], dtype=np.float64),
            adata.var_names.to_numpy().astype(str),
            sparse.csr_matrix(adata.X),
            _features(sample.raster_paths) if sample.raster_paths else None,
            adata.var,
        )

    @property
    def n(self) -> int:
        """Number of measured locations."""
        return len(self.names)

    def has(self, genes: np.ndarray) -> np.ndarray:
        """Whether the panel holds each gene, bool."""
        return np.array([g in self._position for g in genes], dtype=bool)

    def counts_of(self, genes: np.ndarray) -> sparse.csr_matrix:
        """Counts of named genes of the panel, CSR (n, len(genes))."""
        return self.counts[:, [self._position[g] for g in genes]]

    def values(self, genes: np.ndarray, exposure_genes: np.ndarray | None = None) -> sparse.csr_matrix:
        """log1p CP10k of named genes, CSR; the exposure is the total over `exposure_genes` (all if None)."""
        counted = self.counts if exposure_genes is None else self.counts_of(exposure_genes)
        return log1p_cp10k(self.counts_of(genes), row_sums(counted))


def _under_names_of(target: pd.DataFrame, adata: AnnData) -> AnnData:
    from focus_cli.genes import match_genes, to_species_of

    across = to_species_of(target, adata.var, "the scored section", "a training section")
    if across is None:
        return adata
    rows = match_genes(target, across[1])
    found = np.flatnonzero(rows >= 0)
    renamed = adata[:, across[0][rows[found]]].copy()
    renamed.var = pd.DataFrame(index=target.index[found])
    return renamed


def _features(paths: list[Path]) -> Callable[[np.ndarray], np.ndarray]:
    def features(xy_um: np.ndarray) -> np.ndarray:
        from focus_cli.histology.features import RasterStack

        values = RasterStack.open(paths).sample(np.asarray(xy_um, dtype=np.float64))
        return np.nan_to_num(np.asarray(values, dtype=np.float32))

    return features


@dataclass
class Inputs:
    """What is given to the baselines of one evaluation.

    Attributes
    ----------
    task
        Of the truth.
    genes
        Scored genes, (G,).
    names, xy_um
        Locations to predict at, (n,) and (n, 2).
    observed
        The section that was given to the method, or None.
    training
        Other sections, with all their counts.
    cells
        Reference cells, from `name_alike`: sparse counts and ``obs["cell_type"]``; or None.
    states
        The reference's cell states, from `name_alike`: mean proportions; or None.
    seed
        Of every draw.
    """

    task: str
    genes: np.ndarray
    names: np.ndarray
    xy_um: np.ndarray
    observed: Section | None = None
    training: list[Section] = field(default_factory=list)
    cells: AnnData | None = None
    states: AnnData | None = None
    seed: int = 0

    @property
    def n(self) -> int:
        """Number of locations to predict at."""
        return len(self.names)

    def seen(self) -> tuple[Section, np.ndarray]:
        """The observed section and which scored genes it measures.

        Raises
        ------
        NotRunnable
            If there is none, or it measures no location or none of the genes.
        """
        if self.observed is None:
            raise NotRunnable("needs --observed")
        if self.observed.n == 0:
            raise NotRunnable("no location of --observed is measured")
        covered = self.observed.has(self.genes)
        if not covered.any():
            raise NotRunnable("the scored genes are measured nowhere in --observed")
        return self.observed, covered

    @cached_property
    def own(self) -> np.ndarray:
        """Row of the observed section that is the same location, −1 where there is none, (n,)."""
        if self.observed is None:
            return np.full(self.n, -1)
        position = {name: i for i, name in enumerate(self.observed.names)}
        return np.array([position.get(name, -1) for name in self.names])

    def own_rows(self) -> np.ndarray:
        """Rows of the observed section that are the locations to predict at, (n,).

        A few of them may have no counts after deep thinning: they use the nearest location that has counts.

        Raises
        ------
        NotRunnable
            If less than 90 % of the locations to predict at were measured themselves.
        """
        if self.observed is None:
            raise NotRunnable("needs --observed")
        empty = self.own < 0
        if empty.mean() > _MAY_BE_EMPTY:
            raise NotRunnable("the locations to predict at are not measured themselves")
        rows = self.own.copy()
        if empty.any():
            rows[empty] = cKDTree(self.observed.xy_um).query(self.xy_um[empty])[1]
        return rows

    @cached_property
    def panel(self) -> np.ndarray:
        """Genes whose totals make the exposure: what the observed sample measures; empty if there is none."""
        return np.array([], dtype=str) if self.observed is None else self.observed.genes


def covering(positions: np.ndarray, n_genes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask of covered genes, and each gene's position among them (−1 if not covered)."""
    covered = np.zeros(n_genes, dtype=bool)
    covered[positions] = True
    position = np.full(n_genes, -1)
    position[positions] = np.arange(len(positions))
    return covered, position


def constant(method: str, means: np.ndarray, covered: np.ndarray, n: int) -> Prediction:
    """A prediction that is one number per gene; `means` in the order of the covered genes."""
    _, position = covering(np.flatnonzero(covered), len(covered))

    def columns(genes: np.ndarray) -> np.ndarray:
        return np.tile(means[position[genes]].astype(np.float32), (n, 1))

    return Prediction(method, covered, columns)

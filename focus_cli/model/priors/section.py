"""A sample as the prior takes it, and which samples it takes where there are too many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.random import stream
from focus_cli.model.priors.covariance import MOST_NODES

MAX_VALUES = 2**29  # counts on the nodes of all samples that are used: they bound time and disk, not memory


@dataclass(frozen=True)
class PriorSection:
    """One sample; its counts are read when they are requested, and not kept.

    Attributes
    ----------
    genes
        Table indexed by name, with Ensembl ids under ``gene_ids``; samples of one panel may share it.
    pitch_um
        Distance of neighbouring locations.
    n_values
        Stored counts.
    read
        Gives counts (CSR, locations with counts × genes) and positions in µm (n × 2).
    totals
        Gives the counts of each gene.
    """

    genes: pd.DataFrame
    pitch_um: float
    n_values: int
    read: Callable[[], tuple[sparse.csr_matrix, np.ndarray]]
    totals: Callable[[], np.ndarray]

    @classmethod
    def of(cls, sample: PriorSection | tuple) -> PriorSection:
        """A sample in memory: genes, counts, positions in µm, pitch in µm."""
        if isinstance(sample, PriorSection):
            return sample
        genes, counts, xy_um, pitch_um = sample
        return cls(genes, pitch_um, counts.nnz, lambda: (counts, xy_um), lambda: counts.sum(axis=0))


def draw_sections(sections: Sequence[PriorSection], seed: int) -> np.ndarray:
    """Sections whose covariance is used: all up to `MAX_VALUES`, beyond it as many as fit, drawn by `seed`.

    A sample of every panel comes before a second one of any.

    Returns
    -------
    Boolean, one per section.
    """
    # Locations are grouped into nodes, so a large sample has no more values than so many nodes can hold.
    size = np.array([min(s.n_values, MOST_NODES * len(s.genes)) for s in sections], np.int64)
    if size.sum() <= MAX_VALUES:
        return np.ones(len(sections), bool)
    order = stream(seed, "prior/sections").permutation(len(sections))
    panels = np.array([id(sections[i].genes) for i in order])
    first = np.zeros(len(order), bool)
    first[np.unique(panels, return_index=True)[1]] = True
    order = np.concatenate([order[first], order[~first]])
    within = np.cumsum(size[order]) <= MAX_VALUES
    within[0] = True
    drawn = np.zeros(len(sections), bool)
    drawn[order[within]] = True
    return drawn

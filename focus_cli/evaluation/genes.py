"""Selection of the genes to score, from given counts alone."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from focus_cli.evaluation.normalise import column_chunks, dense_columns, log1p_cp10k, row_sums
from focus_cli.evaluation.space import morans_i, neighbour_weights

MIN_LOCATIONS = 10  # a gene detected in fewer locations is never scored
_MORAN_CANDIDATES = 2000

OVERDISPERSED_RULE = (
    "largest score statistic for overdispersion beyond Poisson (Dean 1992), "
    f"among genes detected in at least {MIN_LOCATIONS} locations"
)
SPATIAL_RULE = (
    f"largest Moran's I of log1p CP10k over 6 neighbours, among the {_MORAN_CANDIDATES} most "
    f"overdispersed genes (Dean 1992) detected in at least {MIN_LOCATIONS} locations"
)


def overdispersion(counts: sparse.spmatrix) -> np.ndarray:
    """Score statistic of each gene for variance beyond Poisson at its own mean and the locations' depth.

    With μ_ij = depth_i · p_j: T_j = Σ_i [(y_ij − μ_ij)² − y_ij] / √(2 Σ_i μ_ij²) (Dean 1992, P_B).

    Parameters
    ----------
    counts
        Counts, (n, G), sparse.

    Returns
    -------
    float64 (G,); −inf for a gene detected in fewer than ``MIN_LOCATIONS`` locations.
    """
    csc = sparse.csc_matrix(counts, dtype=np.float64)
    depth = row_sums(csc)
    totals = np.asarray(csc.sum(axis=0)).ravel()
    detected = np.diff(csc.indptr)
    share = totals / max(depth.sum(), 1.0)
    squares = np.asarray(csc.multiply(csc).sum(axis=0)).ravel()
    cross = csc.T @ depth
    depth2 = float(depth @ depth)
    excess = squares - 2 * share * cross + share**2 * depth2 - totals
    spread = np.sqrt(2.0 * depth2) * share
    score = np.divide(excess, spread, out=np.full(len(share), -np.inf), where=spread > 0)
    score[detected < MIN_LOCATIONS] = -np.inf
    return score


def _best(score: np.ndarray, n: int) -> np.ndarray:
    order = np.lexsort((np.arange(len(score)), -score))[:n]  # ties go to the gene that comes first
    return np.sort(order[np.isfinite(score[order])])


def overdispersed_genes(counts: sparse.spmatrix, n: int, allowed: np.ndarray | None = None) -> np.ndarray:
    """Positions of the `n` most overdispersed genes, in the order of the panel.

    Parameters
    ----------
    counts
        Counts, (n_locations, G), sparse.
    n
        How many; fewer where the panel does not hold as many.
    allowed
        Boolean (G,): only these may be chosen.
    """
    score = overdispersion(counts)
    if allowed is not None:
        score = np.where(allowed, score, -np.inf)
    return _best(score, n)


def spatial_genes(counts: sparse.spmatrix, xy_um: np.ndarray, n: int) -> np.ndarray:
    """Positions of the `n` genes with the largest Moran's I, in the order of the panel.

    Parameters
    ----------
    counts
        Counts, (n_locations, G), sparse.
    xy_um
        Positions in µm, (n_locations, 2).
    n
        How many; fewer where the panel does not hold as many.
    """
    candidates = overdispersed_genes(counts, max(n, _MORAN_CANDIDATES))
    values = log1p_cp10k(counts, row_sums(counts))[:, candidates].tocsc()
    weights = neighbour_weights(xy_um)
    score = np.full(counts.shape[1], -np.inf)
    for chunk in column_chunks(values.shape[0], len(candidates)):
        moran = morans_i(dense_columns(values, chunk), weights)
        score[candidates[chunk]] = np.where(np.isfinite(moran), moran, -np.inf)
    return _best(score, n)

"""The noise ceiling: how well a perfect method could correlate with counts of this depth."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from focus_cli.core.statistics.thinning import thin
from focus_cli.evaluation.metrics import column_pearson
from focus_cli.evaluation.normalise import column_chunks, dense_columns, log1p_cp10k, row_sums


def ceiling_of_halves(r: np.ndarray) -> np.ndarray:
    """√ρ with ρ = 2r/(1+r), the reliability of the whole from the correlation of its halves.

    Spearman–Brown; NaN where the halves do not correlate positively: such a gene holds no measurable signal.
    """
    r = np.asarray(r, dtype=np.float64)
    usable = np.nan_to_num(r, nan=-1.0) > 0
    out = np.full(r.shape, np.nan)
    np.divide(2 * r, 1 + r, out=out, where=usable)
    return np.sqrt(out)


def thin_with_exposure(
    counts: sparse.csr_matrix, exposure: np.ndarray, rng: np.random.Generator, *, inside: bool
) -> tuple[tuple[sparse.csr_matrix, np.ndarray], tuple[sparse.csr_matrix, np.ndarray]]:
    """Halve counts of some genes together with the exposure of their locations.

    Parameters
    ----------
    counts
        Counts of the genes of interest, CSR (n, G).
    exposure
        Total counts that each location is divided by, (n,).
    rng
        Source of randomness.
    inside
        True if the exposure includes these genes: their counts in it are thinned with them, the counts of all other
        genes jointly. False if it comes from other genes, which are not hidden: it is halved exactly.

    Returns
    -------
    ``(counts, exposure)`` of either half.
    """
    first, second = thin(counts, 0.5, rng)
    if not inside:
        return (first, exposure / 2), (second, exposure / 2)
    others = np.maximum(np.rint(exposure - row_sums(counts)), 0).astype(np.int64)
    lump = rng.binomial(others, 0.5)
    return (first, row_sums(first) + lump), (second, row_sums(second) + others - lump)


def noise_ceiling(
    counts: sparse.spmatrix, exposure: np.ndarray, *, inside: bool, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Largest Pearson correlation with the truth that its depth allows, per gene.

    The counts are thinned into two independent halves, each is brought to log1p CP10k by its own exposure,
    and the reliability of the whole follows from their correlation r.

    Parameters
    ----------
    counts
        Truth, counts (n, G), sparse.
    exposure
        Total counts that each location is divided by, (n,).
    inside
        Whether the exposure counts these genes too (see `thin_with_exposure`).
    seed
        Of the thinning.

    Returns
    -------
    ``(r, ceiling)``, float64 (G,) each.
    """
    rng = np.random.default_rng(seed)
    halves = thin_with_exposure(sparse.csr_matrix(counts), exposure, rng, inside=inside)
    first, second = (log1p_cp10k(part, depth).tocsc() for part, depth in halves)
    r = np.full(first.shape[1], np.nan)
    for chunk in column_chunks(*first.shape):
        r[chunk] = column_pearson(dense_columns(first, chunk), dense_columns(second, chunk))
    return r, ceiling_of_halves(r)

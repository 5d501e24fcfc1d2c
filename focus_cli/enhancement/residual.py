"""What the factors leave of each gene: a gamma–Poisson posterior given the counts.

The decoder's mean :math:`m_{ij}` is the mean of a gamma prior with shape :math:`\\kappa_j`; counts of the
location and of its neighbours, weighted by a kernel, update it to :math:`m (\\kappa + Y) / (\\kappa + M)`, where
Y are pooled counts and M their expectation. :math:`\\kappa` and the kernel are chosen per group of genes by the
likelihood of counts that a binomial thinning has hidden: each gene trusts its own counts as far as they
predict unseen ones (empirical Bayes; Robbins 1956).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree
from scipy.special import gammaln

KAPPAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, np.inf)
WIDTHS = (0.3, 0.7, 1.2)  # kernel widths in units of the pitch
NEIGHBOURS = 13  # a location and two full rings
MAX_FIT_LOCATIONS = 3000
VISIBLE_SHARE = 0.5
GROUPS = 20  # of genes, by abundance
MIN_GAIN = 2.0  # log-likelihood that own counts must add before they are trusted
BORROWED = 5.0  # genes' worth of evidence that a gene takes from its group
SPREADS = (0.0, 0.06, 0.12, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0)  # of own_spread
EM_STEPS = 100


@dataclass(frozen=True)
class GeneResidual:
    """Per gene of the panel: `kappa` (inf: the factors are enough); one kernel `width_um` for all."""

    kappa: np.ndarray
    width_um: float


def kernel(from_xy: np.ndarray, to_xy: np.ndarray, width_um: float) -> sparse.csr_matrix:
    """Gaussian weights of the nearest locations, queries × locations, CSR; a weight of 1 at distance 0."""
    k = min(NEIGHBOURS, len(from_xy))
    distance, nearest = cKDTree(from_xy).query(to_xy, k=k)
    distance, nearest = distance.reshape(len(to_xy), k), nearest.reshape(len(to_xy), k)
    weight = np.exp(-0.5 * (distance / width_um) ** 2)
    weight[weight < 1e-3] = 0
    row = np.repeat(np.arange(len(to_xy)), k)
    matrix = sparse.csr_matrix((weight.ravel(), (row, nearest.ravel())), shape=(len(to_xy), len(from_xy)))
    matrix.eliminate_zeros()
    return matrix.astype(np.float32)


def fit_residual(
    visible: sparse.csr_matrix,
    hidden: sparse.csr_matrix,
    exposures: tuple[np.ndarray, np.ndarray],
    share: Callable[[np.ndarray, np.ndarray], np.ndarray],
    xy_um: np.ndarray,
    pitch_um: float,
    *,
    gene_block: int = 512,
) -> GeneResidual:
    """Choose κ per gene and one kernel width, on thinned counts.

    Parameters
    ----------
    visible, hidden
        Halves of the counts, CSR, locations × genes.
    exposures
        Counts per location of each half over the whole panel, of which `visible` may be a part.
    share
        (locations, genes) → expected shares from the visible half alone, dense.
    """
    n_genes = visible.shape[1]
    exposure_v, exposure_h = exposures
    locations = np.arange(visible.shape[0])
    columns_v, columns_h = visible.tocsc(), hidden.tocsc()
    kernels = [kernel(xy_um, xy_um, width * pitch_um) for width in WIDTHS]
    score = np.zeros((len(WIDTHS), len(KAPPAS), n_genes))
    for start in range(0, n_genes, gene_block):
        genes = np.arange(start, min(start + gene_block, n_genes))
        mean = share(locations, genes)
        y_v = columns_v[:, genes].tocsr()
        # Most counts are zero: their logarithm is not needed.
        y_h = columns_h[:, genes].tocoo()
        where, expected_h = (y_h.row, y_h.col), exposure_h[:, None] * mean
        for w, pool in enumerate(kernels):
            pooled = np.asarray((pool @ y_v).todense())
            expected = pool @ (exposure_v[:, None] * mean)
            for c, kappa in enumerate(KAPPAS):
                factor = 1.0 if np.isinf(kappa) else (kappa + pooled) / (kappa + expected)
                rate = expected_h * factor
                log_rate = y_h.data * np.log(np.maximum(rate[where], 1e-9))
                score[w, c, genes] = np.bincount(y_h.col, log_rate, len(genes)) - rate.sum(axis=0)
    # One gene's half is noisy: it borrows from genes of like abundance.
    abundance = np.argsort(np.argsort(np.asarray(visible.sum(axis=0)).ravel(), kind="stable"), kind="stable")
    group = abundance * min(GROUPS, n_genes) // n_genes
    size = np.bincount(group)
    for w in range(len(WIDTHS)):
        for c in range(len(KAPPAS)):
            score[w, c] += BORROWED * (np.bincount(group, score[w, c]) / size)[group]
    score[:, -1] += MIN_GAIN  # the factors alone, unless a gene's own counts say more
    best = int(score.max(axis=1).sum(axis=1).argmax())
    return GeneResidual(np.array(KAPPAS)[score[best].argmax(axis=0)], WIDTHS[best] * pitch_um)


def own_spread(counts: np.ndarray, expected: np.ndarray, relative_sd: np.ndarray) -> float:
    """Spread of genes around what the factors expect of them, relative to it: root mean square over genes.

    How the spread is distributed over genes is found by maximum likelihood (EM over `SPREADS`): each gene's counts are
    negative binomial around their expectation. It is lent to genes whose own counts are too few to show any.

    Parameters
    ----------
    counts, expected
        Hidden counts and what the factors expect of them, locations × genes.
    relative_sd
        Of the factors' share, the same shape.
    """
    mean = np.maximum(expected.astype(np.float64), 1e-9)
    likelihood = np.empty((counts.shape[1], len(SPREADS)))
    for c, spread in enumerate(SPREADS):
        shape = 1 / np.maximum(relative_sd.astype(np.float64) ** 2 + spread**2, 1e-6)
        terms = gammaln(counts + shape) - gammaln(shape) - shape * np.log1p(mean / shape)
        likelihood[:, c] = (terms - counts * np.log1p(shape / mean)).sum(axis=0)
    likelihood = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    weight = np.full(len(SPREADS), 1 / len(SPREADS))
    for _ in range(EM_STEPS):
        belief = likelihood * weight
        weight = (belief / belief.sum(axis=1, keepdims=True)).mean(axis=0)
    return float(np.sqrt(weight @ np.square(SPREADS)))


def apply_residual(
    kappa: np.ndarray, mean: np.ndarray, pooled: np.ndarray, expected: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Update shares of genes that their own counts inform (queries × genes, dense).

    Parameters
    ----------
    kappa
        Finite, per gene.
    mean, pooled, expected
        The factors' shares m, counts Y around each query, and how many were expected, M.

    Returns
    -------
    share
        The updated mean, m (κ + Y) / (κ + M).
    shrink
        κ / (κ + M), how far the posterior is narrower than the prior.
    """
    return mean * (kappa + pooled) / (kappa + expected), kappa / (kappa + expected)

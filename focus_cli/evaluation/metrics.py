"""Published formulas, one function each, vectorised over genes (columns).

`truth` and `prediction` are dense (n, g) arrays on log1p CP10k unless stated otherwise. An undefined value is
NaN; `focus_cli.evaluation.scoring` defines how it enters averages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import gammaln, xlogy
from scipy.stats import rankdata

# A column whose standard deviation is below this share of its root mean square is flat in float32.
FLAT = 1e-5


@dataclass(frozen=True)
class Moments:
    """Sums over locations that Pearson, RMSE and global SSIM are made of.

    Every array is float64 (…, g); `n` is (…, 1). Moments of disjoint blocks add up.
    """

    n: np.ndarray
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray

    def weigh(self, weights: np.ndarray) -> Moments:
        """Moments of resampled blocks: `weights` (B, blocks) @ sums (blocks, g)."""
        return Moments(*(weights @ part for part in (self.n, self.x, self.y, self.xx, self.yy, self.xy)))

    def total(self) -> Moments:
        """Moments over all blocks, (g,)."""
        return Moments(*(part.sum(axis=0) for part in (self.n, self.x, self.y, self.xx, self.yy, self.xy)))

    @classmethod
    def join(cls, parts: list[Moments]) -> Moments:
        """Put chunks of genes side by side."""
        columns = ("x", "y", "xx", "yy", "xy")
        return cls(parts[0].n, *(np.concatenate([getattr(p, c) for p in parts], axis=-1) for c in columns))


def block_moments(truth: np.ndarray, prediction: np.ndarray, blocks: np.ndarray) -> Moments:
    """Moments of each spatial block.

    Parameters
    ----------
    truth, prediction
        (n, g); the prediction is x, the truth is y.
    blocks
        Block of each location, int (n,), counted from 0.
    """
    n = len(blocks)
    gather = sparse.csr_matrix((np.ones(n), (blocks, np.arange(n))))
    y, x = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    return Moments(
        np.bincount(blocks).astype(np.float64)[:, None],
        gather @ x,
        gather @ y,
        gather @ (x * x),
        gather @ (y * y),
        gather @ (x * y),
    )


def _spread(square: np.ndarray, mean: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Variance with what is flat at float32 set to exactly 0."""
    variance = square / n - mean**2
    return np.where(variance > FLAT**2 * square / n, variance, 0.0)


def pearson(moments: Moments) -> np.ndarray:
    """Signed Pearson correlation; NaN where either side is flat."""
    n = moments.n
    mean_x, mean_y = moments.x / n, moments.y / n
    variance = _spread(moments.xx, mean_x, n) * _spread(moments.yy, mean_y, n)
    covariance = moments.xy / n - mean_x * mean_y
    out = np.full(np.shape(covariance), np.nan)
    np.divide(covariance, np.sqrt(variance), out=out, where=variance > 0)
    return np.clip(out, -1.0, 1.0)


def flat_truth(moments: Moments) -> np.ndarray:
    """Whether the truth does not vary over the locations: nothing to be predicted."""
    return _spread(moments.yy, moments.y / moments.n, moments.n) <= 0


def rmse(moments: Moments) -> np.ndarray:
    """Root mean squared error on log1p CP10k."""
    return np.sqrt(np.maximum(moments.xx - 2 * moments.xy + moments.yy, 0) / moments.n)


def ssim_global(moments: Moments, data_range: np.ndarray) -> np.ndarray:
    """Windowless SSIM: one value for the section, as in Li et al. 2022 (Nature Methods 19, 662).

    Neither side is rescaled. C1 = (0.01 L)², C2 = (0.03 L)² (Wang et al. 2004) with L = `data_range`, the
    truth's maximum.
    """
    n = moments.n
    mean_x, mean_y = moments.x / n, moments.y / n
    var_x, var_y = _spread(moments.xx, mean_x, n), _spread(moments.yy, mean_y, n)
    covariance = moments.xy / n - mean_x * mean_y
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    out = np.full(np.shape(covariance), np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def column_pearson(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Signed Pearson correlation of each column, float64 (g,)."""
    y = np.asarray(truth, dtype=np.float64)
    x = np.asarray(prediction, dtype=np.float64)
    everywhere = np.zeros(len(y), dtype=np.int64)
    # Pearson does not change with a shift; without the mean the sums of squares lose no digits.
    flat = (np.ptp(x, axis=0) == 0) | (np.ptp(y, axis=0) == 0)
    moments = block_moments(y - y.mean(axis=0), x - x.mean(axis=0), everywhere).total()
    return np.where(flat, np.nan, pearson(moments))


def ranks(values: np.ndarray) -> np.ndarray:
    """Average ranks within each column, float64 (n, g)."""
    return rankdata(values, axis=0)


def spearman(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Spearman correlation of each column with average ranks for ties, float64 (g,)."""
    return column_pearson(ranks(truth), ranks(prediction))


def jensen_shannon(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Jensen–Shannon divergence (nats) between the two distributions of a gene over the locations.

    Both sides are linear and non-negative (CP10k), each column is divided by its sum; NaN for an empty one.
    """
    y, x = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    total_y, total_x = y.sum(axis=0), x.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = y / total_y, x / total_x
        middle = (p + q) / 2
        out = 0.5 * (xlogy(p, p) + xlogy(q, q) - xlogy(p, middle) - xlogy(q, middle)).sum(axis=0)
    return np.where((total_y > 0) & (total_x > 0), np.maximum(out, 0), np.nan)


def poisson_log_likelihood(counts: np.ndarray, expected: np.ndarray, floor: float = 1e-4) -> np.ndarray:
    """Log-likelihood of counts under Poisson expectations, summed over locations, float64 (g,).

    `floor` is the smallest expectation: a wrong prediction of zero is penalised, but not
    without end.
    """
    mean = np.maximum(np.asarray(expected, dtype=np.float64), floor)
    y = np.asarray(counts, dtype=np.float64)
    return (y * np.log(mean) - mean - gammaln(y + 1)).sum(axis=0)


def poisson_deviance(counts: np.ndarray, expected: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Poisson deviance 2 Σ y log(y / μ) − (y − μ) of each block of locations, float64 (blocks, g).

    Parameters
    ----------
    counts, expected
        (n, g); an expectation of 0 is raised to 1e-9.
    blocks
        Block of each location, int (n,), counted from 0.
    """
    y, mean = np.asarray(counts, np.float64), np.maximum(np.asarray(expected, np.float64), 1e-9)
    terms = 2 * (xlogy(y, np.maximum(y, 1) / mean) - y + mean)
    gather = sparse.csr_matrix((np.ones(len(blocks)), (blocks, np.arange(len(blocks)))))
    return gather @ terms


def at_level(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Expectations (n, g) with the total of each gene set to that of the counts."""
    total = np.maximum(expected.sum(axis=0, dtype=np.float64), 1e-12)
    return expected * (counts.sum(axis=0, dtype=np.float64) / total)


def pearson_residual_correlation(counts: np.ndarray, depth: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Correlation of analytic Pearson residuals with those that shares predict, float64 (g,).

    The residual of a count is (y − N p) / √(N p) with the depth N of the location and the level p of the gene (Lause,
    Berens & Kobak 2021, Genome Biology 22, 258); a share s predicts √(N / p) (s − p) for it. Depth alone predicts 0.
    NaN for a gene without counts or a prediction that is constant at every depth.
    """
    n = np.asarray(depth, np.float64)[:, None]
    level = np.asarray(counts, np.float64).sum(axis=0) / n.sum()
    constant = np.maximum(n * level, 1e-12)
    s = at_level(counts, n * np.asarray(share, np.float64)) / np.maximum(n, 1e-12)
    predicted = np.sqrt(n / np.maximum(level, 1e-12)) * (s - level)
    flat = np.abs(s - level).max(axis=0) <= FLAT * level
    found = column_pearson((counts - constant) / np.sqrt(constant), predicted)
    return np.where(flat | (level <= 0), np.nan, found)


def deviance_explained(found: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """1 − Σ deviance / Σ deviance of the constant gene, over the last axis; NaN where there is none to explain."""
    below = constant.sum(axis=-1)
    return 1 - np.divide(found.sum(axis=-1), below, out=np.full(np.shape(below), np.nan), where=below > 0)


def gene_structure(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Agreement of the gene–gene correlation matrices (GSC): Pearson over their upper triangles.

    A gene whose truth is flat has no structure and is left out; a gene whose prediction is flat counts with
    correlation 0 to all others. NaN for fewer than three genes.
    """
    varies = np.ptp(truth, axis=0) > 0
    if varies.sum() < 3:
        return float("nan")
    theirs, ours = (_correlations(np.asarray(part)[:, varies]) for part in (truth, prediction))
    upper = np.triu_indices(len(ours), 1)
    return float(column_pearson(theirs[upper][:, None], ours[upper][:, None])[0])


def _correlations(values: np.ndarray) -> np.ndarray:
    """Gene–gene Pearson correlations, (g, g), at the precision of `values`; 0 for a flat gene."""
    z = values - values.mean(axis=0)
    length = np.sqrt(np.einsum("ij,ij->j", z, z))
    flat = np.ptp(values, axis=0) == 0
    z *= np.divide(1, length, out=np.zeros_like(length), where=(length > 0) & ~flat)
    return z.T @ z


def mean_pearson_draws(moments: Moments, draws: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Mean Pearson correlation over some genes in each resample.

    A gene whose truth is flat in a resample has nothing to predict there and is left out of that mean;
    an undefined correlation otherwise counts as 0.

    Parameters
    ----------
    moments
        Sums per block, (blocks, G).
    draws
        From `focus_cli.core.statistics.resampling.block_draws`, (B, blocks); the same draws for two methods make
        their difference a paired one.
    genes
        Positions of the genes to average.

    Returns
    -------
    float64 (B,).
    """
    parts = (moments.x, moments.y, moments.xx, moments.yy, moments.xy)
    resampled = Moments(moments.n, *(part[:, genes] for part in parts)).weigh(draws)
    r = np.nan_to_num(pearson(resampled), nan=0.0)
    varies = ~flat_truth(resampled)
    n = varies.sum(axis=1)
    return np.divide((r * varies).sum(axis=1), n, out=np.full(len(n), np.nan), where=n > 0)

"""Intervals by resampling spatial blocks: neighbours are not independent, blocks nearly are."""

from __future__ import annotations

import numpy as np

from focus_cli.evaluation.metrics import Moments, flat_truth, pearson

N_RESAMPLES = 1000


def block_draws(n_blocks: int, seed: int, n: int = N_RESAMPLES) -> np.ndarray:
    """How often each block is drawn in each resample, float64 (n, n_blocks); every row sums to n_blocks."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), size=n).astype(np.float64)


def mean_pearson_draws(moments: Moments, draws: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Mean Pearson correlation over some genes in each resample.

    A gene whose truth is flat in a resample has nothing to predict there and is left out of that mean;
    an undefined correlation otherwise counts as 0.

    Parameters
    ----------
    moments
        Sums per block, (blocks, G).
    draws
        From `block_draws`, (B, blocks); the same draws for two methods make their difference a paired one.
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


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the resampled values; NaN where fewer than two of them are defined."""
    values = draws[np.isfinite(draws)]
    if len(values) < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)

"""Scores under resampled spatial blocks: neighbours are not independent, blocks nearly are."""

from __future__ import annotations

import numpy as np

from focus_cli.evaluation.metrics import Moments, flat_truth, pearson


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

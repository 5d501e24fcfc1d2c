"""AUROC and average precision under many weightings at once: one sort, then sums.

They are scikit-learn's `roc_auc_score` and `average_precision_score` with sample weights, which a bootstrap would
call, and sort for, once per resample.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 4_000_000  # weights at a time: 32 MB


def _by_threshold(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight of positives and of negatives at each distinct score, highest first, (B, thresholds) each."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    weights = weights[:, order]
    truth = truth[order]
    return np.add.reduceat(weights * truth, starts, axis=1), np.add.reduceat(weights * ~truth, starts, axis=1)


def ranking_draws(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision for each row of `weights`.

    Parameters
    ----------
    truth
        Whether each is a positive, bool (n,).
    score
        (n,).
    weights
        How often each is drawn (B, n).

    Returns
    -------
    ``(auroc, ap)``, float64 (B,) each; NaN where a resample holds only one of the two.
    """
    truth, score = np.asarray(truth, bool), np.asarray(score, np.float64)
    step = max(1, _BLOCK // max(len(score), 1))
    auroc, ap = np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    for start in range(0, len(weights), step):
        rows = slice(start, start + step)
        positive, negative = _by_threshold(truth, score, weights[rows])
        p, n = positive.sum(axis=1), negative.sum(axis=1)
        both = (p > 0) & (n > 0)
        above = np.cumsum(positive, axis=1)  # positives scored at least so high
        beaten = ((above - 0.5 * positive) * negative).sum(axis=1)
        seen = above + np.cumsum(negative, axis=1)
        precision = np.divide(above, seen, out=np.zeros_like(above), where=seen > 0)
        weighed = (precision * positive).sum(axis=1)
        auroc[rows] = np.divide(beaten, p * n, out=np.full(len(p), np.nan), where=both)
        ap[rows] = np.divide(weighed, p, out=np.full(len(p), np.nan), where=both)
    return auroc, ap

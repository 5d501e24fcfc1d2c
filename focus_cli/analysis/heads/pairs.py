"""AUROC and C-index as one thing: the share of comparable pairs that a score puts in the right order.

Each is weighted by how often its members were drawn, so that a bootstrap is one product of matrices. A pair is
compared only where both members were scored by one fitted head: scores of two heads have no common zero, and pooling
them pulls the AUROC of a useless score below one half (Airola et al. 2011, Comput. Stat. Data Anal. 55:1828).
"""

from __future__ import annotations

import numpy as np


def binary_pairs(positive: np.ndarray) -> np.ndarray:
    """Whether row is a positive and column a negative, bool (n, n)."""
    positive = np.asarray(positive, bool)
    return positive[:, None] & ~positive[None, :]


def survival_pairs(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Whether row is known to have had its event before column's time (Harrell 1996), bool (n, n).

    Someone censored at the time of another's event outlived it.
    """
    time, event = np.asarray(time, np.float64), np.asarray(event, bool)
    earlier = time[:, None] < time[None, :]
    tied = (time[:, None] == time[None, :]) & ~event[None, :]
    return event[:, None] & (earlier | tied)


def within(folds: np.ndarray) -> np.ndarray:
    """Whether two were scored by one fitted head, bool (n, n)."""
    return folds[:, None] == folds[None, :]


def concordance(score: np.ndarray, pairs: np.ndarray) -> float:
    """Share of the pairs in which row scores above column; ties count half. NaN without pairs."""
    return float(concordance_draws(score, pairs, np.ones((1, len(score))))[0])


def concordance_draws(score: np.ndarray, pairs: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The same for each resample; `draws` states how often each was drawn, (B, n). Returns float64 (B,)."""
    score = np.asarray(score, np.float64)
    right = pairs * ((score[:, None] > score[None, :]) + 0.5 * (score[:, None] == score[None, :]))
    above = ((draws @ right) * draws).sum(axis=1)
    total = ((draws @ pairs.astype(np.float64)) * draws).sum(axis=1)
    return np.divide(above, total, out=np.full(len(draws), np.nan), where=total > 0)

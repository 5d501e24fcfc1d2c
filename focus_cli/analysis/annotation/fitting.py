"""Fitting a head: how strongly it is held back and how sure it may be are chosen by leaving groups out.

The strength of the penalty and the temperature are both found on locations of donors that the fit did not see. Where
training has one donor only, blocks of its tissue take the place of donors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_softmax

from focus_cli.analysis.annotation.head import Head

STRENGTHS = tuple(float(10.0**power) for power in (-2, -1, 0, 1, 2, 3))
FOLDS = 5
FALLBACK = 1.0
_MIN_SCALE = 1e-6
_TEMPERATURE_SD = 0.5  # of its logarithm, beforehand: a handful of locations does not move it far from 1


@dataclass(frozen=True)
class Fitted:
    """A head and how it was chosen."""

    head: Head
    strength: float
    calibrated_on: int  # locations of left-out groups that the temperature rests on


def folds_of(groups: np.ndarray, limit: int) -> np.ndarray:
    """Number of the fold of each location: a group is never divided, at most `limit` folds, int64 (n,).

    Groups are assigned, largest first, to the smallest fold, so folds do not depend on the order of rows.
    """
    names, sizes = np.unique(groups, return_counts=True)
    n = min(limit, len(names))
    load, fold = np.zeros(n), {}
    for i in sorted(range(len(names)), key=lambda i: (-sizes[i], names[i])):
        fold[names[i]] = int(np.argmin(load))
        load[fold[names[i]]] += sizes[i]
    return np.array([fold[name] for name in groups], np.int64)


def fit_linear(features: np.ndarray, labels: np.ndarray, strength: float) -> Head:
    """One regression with a ridge penalty.

    Parameters
    ----------
    features
        float32 (n, D).
    labels
        Text (n,), two classes or more.
    strength
        The mean log loss is held against ‖w‖²/(2·strength); scikit-learn's `C` is this by the number of locations.
    """
    from sklearn.linear_model import LogisticRegression

    mean = features.mean(axis=0, dtype=np.float64)
    scale = np.maximum(features.std(axis=0, dtype=np.float64), _MIN_SCALE)
    head = Head((), mean.astype(np.float32), scale.astype(np.float32), np.zeros(0), np.zeros(0))
    model = LogisticRegression(C=strength / len(features), max_iter=2000, tol=1e-6)
    model.fit(head.standardise(features).astype(np.float64), labels)
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one row for two classes
        weight, bias = np.vstack([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    return replace(
        head,
        classes=tuple(str(c) for c in model.classes_),
        weight=weight.astype(np.float32),
        bias=bias.astype(np.float32),
    )


def fit_head(features: np.ndarray, labels: np.ndarray, donors: np.ndarray, blocks: np.ndarray) -> Fitted:
    """Choose the strength, fit on all, find the temperature.

    Parameters
    ----------
    features, labels
        float32 (n, D) and text (n,).
    donors, blocks
        Groups to leave out: donors where there are two or more, else blocks.

    Returns
    -------
    Fitted
        With temperature 1 and the fallback strength where no group can be left out with two classes remaining.
    """
    groups = donors if len(np.unique(donors)) > 1 else blocks
    folds = folds_of(groups, FOLDS)
    held = {strength: _held_out(features, labels, folds, strength) for strength in STRENGTHS}
    held = {strength: parts for strength, parts in held.items() if parts}
    if not held:
        return Fitted(fit_linear(features, labels, FALLBACK), FALLBACK, 0)
    # The temperature is chosen with the strength: a strong ridge that is merely timid is not held against it.
    tried = {strength: best_temperature(parts) for strength, parts in held.items()}
    strength = min(tried, key=lambda s: (tried[s][1], s))
    head = fit_linear(features, labels, strength)
    return Fitted(replace(head, temperature=tried[strength][0]), strength, sum(len(t) for _, t in held[strength]))


def _held_out(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, strength: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(logits, number of the true class) of each fold, for locations whose class the fit knew."""
    parts = []
    for fold in np.unique(folds):
        rest = folds != fold
        if len(np.unique(labels[rest])) < 2:
            continue
        head = fit_linear(features[rest], labels[rest], strength)
        known = ~rest & np.isin(labels, head.classes)
        if known.any():
            truth = np.searchsorted(head.classes, labels[known])
            parts.append((head.logits(features[known]), truth))
    return parts


def best_temperature(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Temperature with the least log loss on held-out logits, between 1/20 and 20, and that loss.

    log T has a normal prior of standard deviation 0.5, which counts in both.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        total = sum(
            -log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(truth)), truth].sum()
            for logits, truth in parts
        )
        total += 0.5 * (log_temperature / _TEMPERATURE_SD) ** 2
        return float(total / sum(len(truth) for _, truth in parts))

    found = minimize_scalar(loss, bounds=(-np.log(20), np.log(20)), method="bounded")
    return float(np.exp(found.x)), float(found.fun)

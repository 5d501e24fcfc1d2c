"""What a head is worth on donors that it did not see: AUROC, average precision, calibration, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from focus_cli.analysis.annotation.fitting import fit_head, folds_of
from focus_cli.analysis.annotation.ranking import ranking_draws
from focus_cli.core.statistics.resampling import interval

N_DRAWS = 200
OUTER_FOLDS = 10
ECE_BINS = 10
_FLOOR = 1e-12


@dataclass(frozen=True)
class HeldOut:
    """Probabilities of locations under heads that did not see their donor.

    Attributes
    ----------
    classes
        All classes (K,).
    probability, uncalibrated
        With and without the temperature, float64 (n, K); 0 for a class that the head did not know.
    known
        Whether the head of this location knew a class, bool (n, K).
    fold
        Number of the head, int64 (n,); -1 where none could be fitted.
    """

    classes: tuple[str, ...]
    probability: np.ndarray
    uncalibrated: np.ndarray
    known: np.ndarray
    fold: np.ndarray


def leave_out(
    features: np.ndarray,
    labels: np.ndarray,
    donors: np.ndarray,
    blocks: np.ndarray,
    left_out: np.ndarray,
    seen: np.ndarray | None = None,
) -> HeldOut:
    """Fit without each group in turn and predict its locations; everything that is chosen is chosen without it.

    Parameters
    ----------
    left_out
        Donor or block of each location: what is left out in turn, in at most ten folds.
    seen
        Rows that a fit may see, bool (n,); all of the left-out group are predicted. None: all.
    """
    classes = np.unique(labels)
    folds = folds_of(left_out, OUTER_FOLDS)
    seen = np.ones(len(labels), bool) if seen is None else seen
    shape = (len(labels), len(classes))
    calibrated, plain, known = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
    scored = np.full(len(labels), -1)
    for fold in np.unique(folds):
        rest = (folds != fold) & seen
        if len(np.unique(labels[rest])) < 2:
            continue
        head = fit_head(features[rest], labels[rest], donors[rest], blocks[rest]).head
        columns = np.searchsorted(classes, head.classes)
        test = np.flatnonzero(folds == fold)
        calibrated[np.ix_(test, columns)] = np.exp(head.log_probability(features[test]))
        plain[np.ix_(test, columns)] = softmax(head.logits(features[test]), axis=1)
        known[np.ix_(test, columns)] = True
        scored[test] = fold
    return HeldOut(tuple(classes), calibrated, plain, known, scored)


def block_weights(blocks: np.ndarray, folds: np.ndarray, seed: int, n_draws: int = N_DRAWS) -> np.ndarray:
    """How often each location is drawn when blocks of tissue are resampled within their fold, float64 (B, n)."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((n_draws, len(blocks)))
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        names, codes = np.unique(blocks[rows], return_inverse=True)
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_draws)
        weights[:, rows] = drawn[:, codes]
    return weights


def class_scores(held: HeldOut, labels: np.ndarray, blocks: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """AUROC and average precision of each class against the rest.

    Each is computed within a left-out fold, where one head gave all scores, and averaged over the folds that hold the
    class and something else; the interval is over blocks of tissue, resampled within their fold.

    Returns
    -------
    One entry for each class: ``class, n, folds, prevalence, auroc, auroc_low, auroc_high, ap, ap_low, ap_high``;
    numbers are None where no fold allows it.
    """
    weights = block_weights(blocks, held.fold, seed)
    return [_one_class(held, labels == name, i, name, weights) for i, name in enumerate(held.classes)]


def _one_class(held: HeldOut, truth: np.ndarray, column: int, name: str, weights: np.ndarray) -> dict[str, Any]:
    row: dict[str, Any] = {"class": name, "n": int(truth.sum()), "folds": 0, "prevalence": None}
    for key in ("auroc", "ap"):
        row |= {key: None, f"{key}_low": None, f"{key}_high": None}
    drawn, shares = [], []
    for fold in np.unique(held.fold[held.fold >= 0]):
        rows = np.flatnonzero((held.fold == fold) & held.known[:, column])
        if truth[rows].any() and not truth[rows].all():
            each = np.vstack([np.ones(len(rows)), weights[:, rows]])  # the first is as it is
            drawn.append(ranking_draws(truth[rows], held.probability[rows, column], each))
            shares.append(truth[rows].mean())
    if not drawn:
        return row
    row |= {"folds": len(drawn), "prevalence": float(np.mean(shares))}
    for key, folds in zip(("auroc", "ap"), np.swapaxes(np.array(drawn), 0, 1)):
        # A fold without the class in a resample is left out of that mean.
        there = np.isfinite(folds)
        means = np.divide(np.nansum(folds, axis=0), there.sum(axis=0), where=there.any(axis=0), out=folds[0] * np.nan)
        row[key] = float(means[0])
        row[f"{key}_low"], row[f"{key}_high"] = (None if np.isnan(v) else v for v in interval(means[1:]))
    return row


def calibration(held: HeldOut, labels: np.ndarray) -> dict[str, float | int | None]:
    """Calibration over all locations that a head was evaluated on, before and after the temperature.

    ECE is the expected calibration error of the most probable class over ten bins of equal width (Guo et al. 2017);
    Brier the sum over classes of squared errors; ``log_loss`` gives a class that the head did not know 1e-12.
    """
    rows = held.fold >= 0
    truth = np.searchsorted(held.classes, labels[rows])
    row: dict[str, float | int | None] = {"n": int(rows.sum())}
    for name, probability in (("before", held.uncalibrated[rows]), ("after", held.probability[rows])):
        if not len(truth):
            row |= {f"{key}_{name}": None for key in ("ece", "brier", "log_loss")}
            continue
        row[f"ece_{name}"] = expected_calibration_error(probability, truth)
        one_hot = np.eye(len(held.classes))[truth]
        row[f"brier_{name}"] = float(((probability - one_hot) ** 2).sum(axis=1).mean())
        row[f"log_loss_{name}"] = float(-np.log(np.maximum(probability[np.arange(len(truth)), truth], _FLOOR)).mean())
    row["accuracy"] = float((held.probability[rows].argmax(axis=1) == truth).mean()) if len(truth) else None
    return row


def expected_calibration_error(probability: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over ten bins of confidence, weighted by their size."""
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == truth
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    size = np.bincount(bins, minlength=ECE_BINS)
    gap = np.abs(np.bincount(bins, confidence, ECE_BINS) - np.bincount(bins, right, ECE_BINS))
    return float(gap.sum() / max(size.sum(), 1))


def few(labels: np.ndarray, per_class: int, rng: np.random.Generator, donors: np.ndarray) -> np.ndarray:
    """Rows of a handful of labels: `per_class` of each class (or all it has), as even over donors as they allow."""
    from focus_cli.analysis.heads.ood import spread_over

    rows: Sequence[np.ndarray] = [
        mine[spread_over(donors[mine], per_class, rng)]
        for mine in (np.flatnonzero(labels == name) for name in np.unique(labels))
    ]
    return np.sort(np.concatenate(rows))

"""Nested cross-validation over donors: what a score is worth on donors used neither for fitting nor for choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from focus_cli.analysis.heads.pairs import concordance, concordance_draws, within
from focus_cli.analysis.outcome.linear import Linear, fit_linear
from focus_cli.analysis.outcome.scorer import Bags, Scorer, fit_scorer, stratified_folds
from focus_cli.analysis.outcome.target import Target
from focus_cli.core.progress import track
from focus_cli.core.random import stream
from focus_cli.core.statistics.resampling import block_draws, interval

OUTER_FOLDS = 5
CLINICAL_PENALTY = 0.01
POOLINGS = ("attention", "mean")


@dataclass(frozen=True)
class Crossed:
    """Scores of donors under heads that did not see them.

    Attributes
    ----------
    scores
        Arm → float64 (n,): ``attention``, ``mean``, and, with covariates, ``clinical`` and ``together``.
    folds
        Which head scored each donor, int64 (n,).
    """

    scores: dict[str, np.ndarray]
    folds: np.ndarray


def join(slide: np.ndarray, covariates: np.ndarray) -> np.ndarray:
    """Slide score and covariates of each donor side by side."""
    return np.column_stack([slide, covariates])


def fit_together(scorer: Scorer, covariates: np.ndarray, target: Target) -> Linear:
    """Slide score and covariates in one regression.

    The score of a donor of training is the one it got when it was left out: a score that has seen its donor would
    take more of the weight than it is worth.
    """
    return fit_linear(join(scorer.held_out, covariates), target, CLINICAL_PENALTY)


def cross(
    bags: Bags,
    target: Target,
    covariates: np.ndarray,
    seed: int,
    poolings: Sequence[str] = POOLINGS,
    label: str = "nested cross-validation",
) -> Crossed:
    """Leave out a fifth of the donors in turn.

    Parameters
    ----------
    bags
        One float32 (k, D) for each donor.
    covariates
        float64 (n, c); c may be 0.
    poolings
        Ways to try; the first is the one that is put together with the covariates.
    """
    folds = stratified_folds(target, OUTER_FOLDS, seed)
    arms = [*poolings, *(("clinical", "together") if covariates.shape[1] else ())]
    scores = {arm: np.zeros(len(bags)) for arm in arms}
    for fold in track(range(OUTER_FOLDS), label) if label else range(OUTER_FOLDS):
        rest, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        seen, asked = [bags[i] for i in rest], [bags[i] for i in test]
        for i, pooling in enumerate(poolings):
            scorer = fit_scorer(seen, target.take(rest), pooling, seed)
            scores[pooling][test] = scorer.score(asked)
            if i == 0 and covariates.shape[1]:
                both = fit_together(scorer, covariates[rest], target.take(rest))
                scores["together"][test] = both.score(join(scores[pooling][test], covariates[test]))
        if covariates.shape[1]:
            alone = fit_linear(covariates[rest], target.take(rest), CLINICAL_PENALTY)
            scores["clinical"][test] = alone.score(covariates[test])
    return Crossed(scores, folds)


def judge(crossed: Crossed, target: Target, seed: int) -> dict[str, Any]:
    """C-index or AUROC of every arm with 95 % intervals over donors, and differences of arms.

    Returns
    -------
    dict
        ``arms``: arm → value, low, high; ``differences``: ``"a - b"`` → value, low, high, from the same resamples.
    """
    pairs = target.pairs() & within(crossed.folds)
    draws = block_draws(len(target), seed)
    values = {arm: concordance(score, pairs) for arm, score in crossed.scores.items()}
    drawn = {arm: concordance_draws(score, pairs, draws) for arm, score in crossed.scores.items()}

    def summary(value: float, sample: np.ndarray) -> dict[str, float]:
        low, high = interval(sample)
        return {"value": value, "low": low, "high": high}

    compared = [(a, b) for a, b in (("attention", "mean"), ("together", "clinical")) if a in values and b in values]
    return {
        "measure": target.measure,
        "donors": len(target),
        "events": int(target.event.sum()),
        "pairs": int(pairs.sum()),
        "arms": {arm: summary(values[arm], drawn[arm]) for arm in values},
        "differences": {f"{a} - {b}": summary(values[a] - values[b], drawn[a] - drawn[b]) for a, b in compared},
    }


def permuted(bags: Bags, target: Target, n: int, seed: int, pooling: str) -> list[float]:
    """Scores of the whole procedure with outcomes permuted among the donors, `n` times.

    It must give one half on average; more shows that something of the outcome leaks into the slides' scores.
    """
    rng = stream(seed, "outcome/permutations")
    nothing = np.zeros((len(bags), 0))
    out = []
    for _ in track(range(n), "permuted outcomes"):
        dealt = target.take(rng.permutation(len(target)))
        crossed = cross(bags, dealt, nothing, seed, (pooling,), label="")
        out.append(concordance(crossed.scores[pooling], dealt.pairs() & within(crossed.folds)))
    return out

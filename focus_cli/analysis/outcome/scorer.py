"""Slides to scores: two ways of pooling, each with what must be chosen chosen by cross-validation inside training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focus_cli.analysis.heads.pairs import concordance, within
from focus_cli.analysis.outcome.bags import Axes, learn_axes
from focus_cli.analysis.outcome.linear import Linear, fit_linear
from focus_cli.analysis.outcome.target import Target

N_AXES = 16
INNER_FOLDS = 3
DECAYS = (0.3, 1.0, 3.0)
PENALTIES = (0.03, 0.3, 3.0)
CHOOSING_MEMBERS = 1  # seeds for each decay while it is chosen
MEMBERS = 5

Bags = list[np.ndarray]


@dataclass(frozen=True)
class Scorer:
    """What gives a donor its score.

    Attributes
    ----------
    pooling
        ``"attention"`` or ``"mean"``.
    axes
        What is done to features first.
    strength
        The decay or penalty that was chosen.
    net, linear
        The members of attention pooling, or the regression on the mean of the locations.
    held_out
        Score of each donor of training under a scorer that did not see it, about a mean of 0, float64 (n,).
    centre
        Mean raw score over the donors of training.
    """

    pooling: str
    axes: Axes
    strength: float
    net: object | None
    linear: Linear | None
    held_out: np.ndarray
    centre: float

    def score(self, bags: Bags) -> np.ndarray:
        """Scores of bags of features, about 0, float64 (n,)."""
        return self._raw([self.axes.project(bag) for bag in bags]) - self.centre

    def _raw(self, projected: Bags) -> np.ndarray:
        return raw_score(self.pooling, self.net, self.linear, projected)


def raw_score(pooling: str, net: object | None, linear: Linear | None, projected: Bags) -> np.ndarray:
    """Scores of bags that lie on the axes already."""
    if pooling == "mean":
        return linear.score(means(projected))
    from focus_cli.analysis.outcome.attention import score_bags

    return score_bags(net, projected).mean(axis=0)


def means(bags: Bags) -> np.ndarray:
    """Mean location of each bag, float64 (n, A)."""
    return np.stack([bag.mean(axis=0, dtype=np.float64) for bag in bags])


def stratified_folds(target: Target, n: int, seed: int) -> np.ndarray:
    """Number of the fold of each donor, int64 (n,): folds hold events (or the positive class) in equal shares."""
    from sklearn.model_selection import StratifiedKFold

    folds = np.empty(len(target), np.int64)
    splitter = StratifiedKFold(n, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(np.zeros(len(target)), target.event)):
        folds[test] = fold
    return folds


def fit_scorer(bags: Bags, target: Target, pooling: str, seed: int) -> Scorer:
    """Choose how strongly to hold back by cross-validation, then fit on all.

    Parameters
    ----------
    bags
        One float32 (k, D) for each donor.
    target
        Their outcomes.
    pooling
        ``"attention"`` or ``"mean"``.
    """
    strengths = DECAYS if pooling == "attention" else PENALTIES
    try_all = _try_attention if pooling == "attention" else _try_mean
    folds = stratified_folds(target, INNER_FOLDS, seed)
    held = np.zeros((len(strengths), len(bags)))
    for fold in range(INNER_FOLDS):
        rest, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        axes = learn_axes([bags[i] for i in rest], N_AXES)
        projected = [axes.project(bag) for bag in bags]
        held[:, test] = try_all(projected, target, rest, test, seed)
    pairs = target.pairs() & within(folds)
    # Of equals the one that is held back more.
    best = max(range(len(strengths)), key=lambda i: (round(concordance(held[i], pairs), 12), strengths[i]))
    axes = learn_axes(bags, N_AXES)
    projected = [axes.project(bag) for bag in bags]
    net = linear = None
    if pooling == "attention":
        from focus_cli.analysis.outcome.attention import train_members

        net = train_members(projected, target, np.full(MEMBERS, strengths[best]), seed)
    else:
        linear = fit_linear(means(projected), target, strengths[best])
    centre = float(raw_score(pooling, net, linear, projected).mean())
    return Scorer(pooling, axes, strengths[best], net, linear, held[best], centre)


def _try_attention(bags: Bags, target: Target, rest: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    from focus_cli.analysis.outcome.attention import score_bags, train_members

    decays = np.repeat(DECAYS, CHOOSING_MEMBERS)
    net = train_members([bags[i] for i in rest], target.take(rest), decays, seed)
    scores = score_bags(net, bags).reshape(len(DECAYS), CHOOSING_MEMBERS, -1).mean(axis=1)
    return scores[:, test] - scores[:, rest].mean(axis=1, keepdims=True)


def _try_mean(bags: Bags, target: Target, rest: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    values = means(bags)
    out = []
    for penalty in PENALTIES:
        model = fit_linear(values[rest], target.take(rest), penalty)
        out.append(model.score(values[test]) - model.score(values[rest]).mean())
    return np.stack(out)

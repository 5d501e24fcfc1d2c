"""AUROC and C-index are those of scikit-learn and lifelines; a bootstrap is the same with weights."""

import numpy as np
import pytest

from focus_cli.analysis.heads.pairs import binary_pairs, concordance, concordance_draws, survival_pairs, within
from focus_cli.core.statistics.resampling import block_draws


def test_auroc_is_that_of_scikit_learn_with_and_without_weights():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    truth, score = rng.random(60) < 0.3, np.round(rng.normal(size=60), 1)  # with ties
    assert concordance(score, binary_pairs(truth)) == pytest.approx(roc_auc_score(truth, score))
    draws = block_draws(60, 0, 5)
    drawn = concordance_draws(score, binary_pairs(truth), draws)
    assert drawn == pytest.approx([roc_auc_score(truth, score, sample_weight=w) for w in draws])


def test_c_index_is_that_of_lifelines():
    concordance_index = pytest.importorskip("lifelines.utils").concordance_index
    rng = np.random.default_rng(1)
    time, event, score = rng.integers(1, 20, 80).astype(float), rng.random(80) < 0.6, rng.normal(size=80).round(1)
    ours = concordance(score, survival_pairs(time, event))
    assert ours == pytest.approx(concordance_index(time, -score, event), abs=0.01)  # tied times are counted otherwise
    distinct = time + np.arange(80) / 1000
    ours = concordance(score, survival_pairs(distinct, event))
    assert ours == pytest.approx(concordance_index(distinct, -score, event))


def test_scores_of_two_heads_are_not_compared():
    truth, folds = np.array([1, 0, 1, 0], bool), np.array([0, 0, 1, 1])
    score = np.array([1.0, 0.0, -5.0, -6.0])  # each head right, the second one with another zero
    assert concordance(score, binary_pairs(truth) & within(folds)) == 1.0
    assert concordance(score, binary_pairs(truth)) < 1.0


def test_without_pairs_there_is_no_figure():
    assert np.isnan(concordance(np.arange(3.0), binary_pairs(np.ones(3))))

"""Calibration on counts: right predictions hold what they promise, wrong ones do not, and scores match simulation."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import tiny_sections as tiny
import torch
from scipy import stats
from tiny_sections import expression_of, genes_of, names, rows_of

from focus_cli.core import keys
from focus_cli.core.statistics.lognorm import LogNormReading
from focus_cli.core.statistics.predictive import (
    PredictedCounts,
    central_coverage,
    negative_binomial_cdf,
    negative_binomial_mass,
)
from focus_cli.evaluation import evaluate, prediction, predictive
from focus_cli.evaluation.stated import StatedShares
from focus_cli.evaluation.truth import read_truth


def drawn(stated_over_true: float = 1.0, *, mean: float = 8.0, cv: float = 0.5, level_sd: float = 0.0, n: int = 20_000):
    """Negative binomial counts beside predictions whose spread is right but for a factor."""
    rng = np.random.default_rng(0)
    means = rng.uniform(0.5 * mean, 1.5 * mean, n)
    level = np.exp(level_sd * rng.standard_normal(n))
    count = rng.poisson(means * level * rng.gamma(cv**-2, cv**2, n)).astype(np.float64)
    return PredictedCounts.from_shares(count, 1.0, means, stated_over_true * cv * means, stated_over_true * level_sd)


def coverages(pairs):
    pit = pairs.pit(np.random.default_rng(1).random(len(pairs)))
    return [central_coverage(pit, level) for level in predictive.LEVELS]


def test_the_cdf_equals_scipys():
    k, mean, shape = np.arange(30.0), np.full(30, 4.0), np.full(30, 2.5)
    np.testing.assert_allclose(negative_binomial_cdf(k, mean, shape), stats.nbinom.cdf(k, 2.5, 2.5 / 6.5), rtol=1e-10)
    np.testing.assert_allclose(negative_binomial_cdf(k, mean, shape * np.inf), stats.poisson.cdf(k, 4.0), rtol=1e-10)
    assert negative_binomial_cdf(-1.0, 4.0, 2.5) == 0


@pytest.mark.parametrize("shape", [1e-6, 0.3, 2.5, 9e3, 2e4, 9e7, 1e8, np.inf])
@pytest.mark.parametrize("mean", [1e-9, 0.2, 4.0, 900.0])
def test_the_probability_of_a_count_is_the_step_of_the_cdf(mean, shape):
    k = np.arange(1200.0)
    mean, shape = np.full(len(k), mean), np.full(len(k), shape)
    mass = negative_binomial_mass(k, mean, shape)
    cdf = negative_binomial_cdf(k, mean, shape)
    np.testing.assert_allclose(mass, np.diff(cdf, prepend=0.0), atol=1e-10)
    np.testing.assert_allclose(np.cumsum(mass), cdf, atol=1e-9)


@pytest.mark.parametrize("mean", [0.05, 2.0, 200.0])
@pytest.mark.parametrize("level_sd", [0.0, 0.8])
def test_right_predictions_hold_what_they_promise(mean, level_sd):
    np.testing.assert_allclose(coverages(drawn(mean=mean, level_sd=level_sd)), predictive.LEVELS, atol=0.012)


def test_too_narrow_a_spread_holds_too_little_and_too_wide_a_one_too_much():
    right = np.array(predictive.LEVELS)
    assert (coverages(drawn(0.3)) < right - 0.03).all() and (coverages(drawn(2.0)) > right + 0.02).all()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_error_ratio_is_the_true_error_over_the_stated_one(factor):
    assert predictive.error_ratio(drawn(factor)) == pytest.approx(1 / factor, rel=0.06)
    assert predictive.error_ratio(drawn(factor, mean=0.3, n=200_000)) == pytest.approx(1 / factor, rel=0.1)


def test_of_rare_counts_coverage_says_little_and_the_error_ratio_much():
    wrong = drawn(0.25, mean=0.2, n=200_000)
    np.testing.assert_allclose(coverages(wrong), predictive.LEVELS, atol=0.01)
    assert predictive.error_ratio(wrong) > 3


@pytest.mark.parametrize("level_sd", [0.0, 0.7])
def test_crps_is_the_energy_form_by_simulation(level_sd):
    rng = np.random.default_rng(3)
    for mean, cv, count in ((0.3, 0.5, 0), (5.0, 0.8, 12), (300.0, 0.2, 250)):
        pairs = PredictedCounts.from_shares(np.full(400, float(count)), 1.0, mean, cv * mean, level_sd)
        level = np.exp(level_sd * rng.standard_normal((2, 200_000)))
        x, other = rng.poisson(mean * level * rng.gamma(cv**-2, cv**2, (2, 200_000)))
        wanted = np.abs(x - count).mean() - np.abs(x - other).mean() / 2
        assert predictive.crps(pairs, 0).mean() == pytest.approx(wanted, rel=0.03, abs=2e-3)


def test_crps_of_certainty_is_the_absolute_error_and_prefers_the_right_spread():
    sure = PredictedCounts.from_shares(np.array([0.0, 0.0]), 1.0, np.array([1e-12, 1e-12]), 0.0)
    np.testing.assert_allclose(predictive.crps(sure, 0), 0, atol=1e-9)
    scores = [predictive.crps(drawn(factor, n=4000), 0).mean() for factor in (0.2, 1.0, 4.0)]
    assert scores[1] == min(scores)


def test_blocks_of_the_crps_change_nothing(monkeypatch):
    pairs = drawn(n=500)
    whole = predictive.crps(pairs, 0)
    monkeypatch.setattr(predictive, "_CELLS", 100)
    np.testing.assert_allclose(predictive.crps(pairs, 0), whole, rtol=1e-12)


def test_width_is_that_of_the_share():
    pairs = PredictedCounts.from_shares(np.zeros(2), 1000.0, 0.004, np.array([0.001, 0.0]), np.array([0.0, 0.6]))
    low, high = stats.gamma.ppf([0.025, 0.975], 16, scale=0.004 / 16)
    width = predictive.interval_width(pairs, np.full(2, 1000.0), 0.95)
    assert width[0] == pytest.approx(1e4 * (high - low), rel=1e-6)
    assert width[1] == pytest.approx(40 * (np.exp(1.96 * 0.6) - np.exp(-1.96 * 0.6)), rel=1e-3)


def write_focus(path, spots, truth_path, cv: float):
    """An enhanced file that knows the expression and says that it is off by `cv`."""
    genes = genes_of(truth_path)
    share = np.expm1(expression_of(spots, genes)) / keys.TARGET_SUM
    depth = np.full(len(share), 1500.0)
    read, slope = LogNormReading(depth).with_slope(torch.from_numpy(share.astype(np.float32)))
    layers = {
        keys.MEAN_COUNTS: (share * depth[:, None]).astype(np.float32),
        keys.STD: slope.numpy() * (cv * share).astype(np.float32),
    }
    tiny.write_estimate(path, read.numpy(), names(spots), genes, layers=layers)
    adata = anndata.read_h5ad(path)
    adata.obs[keys.EXPOSURE] = depth
    adata.write_h5ad(path)
    return path


def test_a_file_that_knows_the_truth_and_says_so_is_calibrated(spots, held, tmp_path):
    _, path = held["denoise"]
    file = write_focus(tmp_path / "e.h5ad", spots, path, 1e-4)
    scores = evaluate(file, path, tmp_path / "scores")
    row = rows_of(scores)["focus"]
    for level in (50, 80, 95):
        assert row[f"coverage_{level}"] == pytest.approx(level / 100, abs=0.02)
        assert row[f"coverage_{level}_abundant"] == pytest.approx(level / 100, abs=0.03)
    assert row["crps"] == pytest.approx(row["crps_poisson"], rel=1e-3)
    table = pd.read_csv(tmp_path / "scores" / "calibration.tsv", sep="\t")
    assert list(table.columns) == list(predictive.STRATA_COLUMNS)
    assert table.n_pairs[0] == table.n_pairs[1:].sum() == 20 * len(read_truth(path).names)
    assert scores["calibration"][0]["expected_count"] == "all"
    assert "coverage_50" not in rows_of(scores)["focus_expression"]


def test_an_overcautious_file_holds_more_and_scores_worse(spots, held, tmp_path):
    _, path = held["denoise"]
    file = write_focus(tmp_path / "e.h5ad", spots, path, 1.0)
    row = rows_of(evaluate(file, path, tmp_path / "scores"))["focus"]
    assert row["coverage_50"] > 0.6 and row["error_ratio"] < 0.3 and row["crps"] > row["crps_poisson"]


def test_chunks_and_draws_of_pairs_are_the_seeds_alone(spots, held, monkeypatch):
    _, path = held["denoise"]
    truth = read_truth(path)
    share = truth.columns(np.arange(20)) / 1e5 + 1e-4
    stated = StatedShares(lambda g: share[:, g], lambda g: 0.3 * share[:, g], np.zeros(20))
    monkeypatch.setattr(predictive, "MAX_PAIRS", 3000)
    whole, _ = predictive.draw_pairs(truth, stated, np.arange(20), 5)
    again = predictive.column_chunks
    monkeypatch.setattr(predictive, "column_chunks", lambda n, g: again(n, g, limit=4 * n * 3))
    parts, exposure = predictive.draw_pairs(truth, stated, np.arange(20), 5)
    for name in ("count", "mean", "shape"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    other, _ = predictive.draw_pairs(truth, stated, np.arange(20), 6)
    assert not np.array_equal(other.mean, whole.mean) and len(whole) == 3000
    first, second = (predictive.describe(pairs, exposure, 5) for pairs in (parts, whole))
    np.testing.assert_equal(first, second)


def test_estimates_that_do_not_fit_into_memory_score_the_same(spots, held, tmp_path, monkeypatch):
    _, path = held["denoise"]
    file = write_focus(tmp_path / "e.h5ad", spots, path, 0.3)
    inside = evaluate(file, path, tmp_path / "inside")
    monkeypatch.setattr(prediction, "_IN_MEMORY", 0)
    assert evaluate(file, path, tmp_path / "on_disk")["rows"] == inside["rows"]

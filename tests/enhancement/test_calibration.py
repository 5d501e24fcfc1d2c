"""Hold-out calibration: its factors and reliabilities, and their record in the file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from enhancement.enhancing import run
from model.training.tiny_cohort import grow, store_tissue

from focus_cli.core import keys
from focus_cli.core.statistics.predictive import PredictedCounts
from focus_cli.enhancement.calibration import EITHER, LEVELS, WIDEN, Calibration, Factor, fit_factor
from focus_cli.enhancement.holdout_calibration import HoldoutEstimates
from focus_cli.enhancement.reliability import ABSTAIN, LearntReliability, learn_reliability
from focus_cli.enhancement.residual import own_spread


def estimates(true_cv: float, stated_cv: float, *, level_sd: float = 0.0, n: int = 300, g: int = 40, seed: int = 0):
    """Counts out of 2,000 molecules of gamma distributed shares, beside a stated spread."""
    rng = np.random.default_rng(seed)
    share = np.broadcast_to(rng.uniform(0.002, 0.02, g), (n, g))
    true = share * rng.gamma(true_cv**-2, true_cv**2, (n, g)) * np.exp(level_sd * rng.standard_normal(g))
    exposure = np.full(n, 2000.0)
    count = rng.poisson(exposure[:, None] * true).astype(np.float64)
    return HoldoutEstimates(count, exposure, share, stated_cv * share, np.full(g, level_sd), np.zeros(g))


@pytest.mark.parametrize("wrong", [0.5, 0.8, 1.6])
def test_the_factor_makes_up_for_a_spread_that_is_too_narrow_or_too_wide(wrong):
    factor = fit_factor(estimates(0.4, 0.4 * wrong).pairs(), 40, EITHER, "test")
    assert factor.value == pytest.approx(1 / wrong, rel=0.12)
    for level in LEVELS:
        assert factor.coverage[str(level)][1] == pytest.approx(level, abs=0.03)


@pytest.mark.parametrize("stated", [0.36, 0.4, 0.44])
def test_what_is_right_is_left_alone(stated):
    assert fit_factor(estimates(0.4, stated).pairs(), 40, EITHER, "test").value == pytest.approx(1, abs=0.1)


def test_counts_that_cannot_tell_change_nothing():
    found = estimates(0.4, 0.1)
    rare = PredictedCounts.from_shares(
        np.random.default_rng(3).poisson(found.count / 1000), found.exposure[:, None] / 1000, found.share, found.sd
    )
    assert fit_factor(rare, 40, EITHER, "test").value == 1


def test_a_factor_stays_within_its_limits():
    wide, narrow = (estimates(0.4, cv).pairs() for cv in (1.5, 0.01))
    assert fit_factor(wide, 40, WIDEN, "test").value == 1
    assert 3.9 < fit_factor(narrow, 40, WIDEN, "test").value <= WIDEN[1]


def test_levels_are_judged_by_totals_and_patterns_without_them():
    found = estimates(0.3, 0.3, level_sd=0.7, g=400, n=60)
    assert fit_factor(found.totals(), 400, EITHER, "test").value == pytest.approx(1, abs=0.12)
    assert fit_factor(found.levelled().pairs(), 400, EITHER, "test").value == pytest.approx(1, abs=0.1)


def test_factors_go_to_the_rows_and_genes_that_they_are_for():
    found = Calibration(Factor(2.0), Factor(3.0), Factor(5.0), Factor(7.0))
    factors = found.of_shares(np.array([True, False]), torch.tensor([True, False, True]))
    assert factors.tolist() == [[2, 5, 2], [3, 5, 3]]
    assert (Calibration().of_shares(np.array([True, False]), torch.tensor([True, False])) == 1).all()


@pytest.mark.parametrize("spread", [0.0, 0.25, 0.5])
def test_what_genes_keep_to_themselves_is_found(spread):
    rng = np.random.default_rng(1)
    expected = np.broadcast_to(rng.uniform(2, 20, 60), (300, 60))
    known = np.full(expected.shape, 0.1)
    own = np.hypot(0.1, spread)
    counts = rng.poisson(expected * rng.gamma(own**-2, own**2, expected.shape))
    assert own_spread(counts, expected, known) == pytest.approx(spread, abs=0.05)


def test_reliability_rises_with_the_evidence_where_estimates_do():
    rng = np.random.default_rng(2)
    n, g = 400, 200
    evidence = np.linspace(0.01, 1, g)
    pattern, noise = rng.standard_normal((2, n, g))
    correlation = evidence
    stated = 0.005 * (1 + 0.3 * pattern)
    true = 0.005 * (1 + 0.3 * (correlation * pattern + np.sqrt(1 - correlation**2) * noise))
    exposure = rng.uniform(1000, 3000, n)
    exposure[0] = 0
    count = rng.poisson(exposure[:, None] * np.maximum(true, 0)).astype(np.float64)
    learnt = learn_reliability(HoldoutEstimates(count, exposure, stated, stated, np.zeros(g), evidence))
    assert (np.diff(learnt.reliability) >= 0).all()
    np.testing.assert_allclose(learnt(evidence[20:180]), evidence[20:180] ** 2, atol=0.15)
    assert learnt(np.array([0.0])) == 0


def test_no_gene_is_trusted_without_evidence():
    learnt = LearntReliability(np.array([0.1, 0.5]), np.array([0.2, 0.8]))
    np.testing.assert_allclose(learnt(np.array([0.0, 0.05, 0.3, 2.0])), [0, 0.2, 0.5, 0.8])


def record(adata) -> dict:
    return json.loads(adata.uns[keys.UNS]["calibration"])


def test_the_file_tells_its_factors_and_what_they_rest_on(adata):
    found = record(adata)
    assert set(found) == {"counts", "positions", "genes", "levels", "reliability"}
    assert found["counts"]["value"] >= 1 and found["counts"]["n_pairs"] > 1000
    assert set(found["positions"]["coverage"]) == {"0.5", "0.8", "0.95"}
    # Of the 36 genes of this panel half were hidden: too few to learn of genes outside it.
    assert found["genes"]["value"] == 1 and "too few" in found["genes"]["why"] and found["reliability"] is None


def test_genes_that_nothing_can_judge_are_not_to_be_read(adata):
    outside = ~adata.var[keys.MEASURED]
    assert adata.var.loc[outside, keys.ABSTAIN].all() and not adata.obs[keys.ABSTAIN].any()
    low = adata.var[keys.VAR_RELIABILITY] < ABSTAIN
    np.testing.assert_array_equal(adata.var.loc[~outside, keys.ABSTAIN], low[~outside])


def test_the_level_error_is_written_for_genes_outside_the_panel_alone(adata):
    measured = adata.var[keys.MEASURED].to_numpy()
    assert (adata.var[keys.LEVEL_SD][measured] == 0).all() and (adata.var[keys.LEVEL_SD][~measured] > 0).all()


def test_a_raw_std_is_the_written_one_over_the_factor(cohort, adata, tmp_path, monkeypatch):
    monkeypatch.setattr("focus_cli.enhancement.inference.calibrate", lambda *_: Calibration(Factor(2.0), Factor(2.0)))
    doubled = run(cohort, tmp_path / "a.h5ad")
    monkeypatch.setattr("focus_cli.enhancement.inference.calibrate", lambda *_: Calibration())
    plain = run(cohort, tmp_path / "b.h5ad")
    measured = adata.var[keys.MEASURED].to_numpy()
    np.testing.assert_allclose(doubled.layers["std"][:, measured], 2 * plain.layers["std"][:, measured], rtol=2e-3)
    np.testing.assert_array_equal(doubled.X, plain.X)


def test_enough_shared_genes_are_judged_by_holdout_calibration(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr("focus_cli.enhancement.holdout_calibration.MIN_GENES", 5)
    monkeypatch.setattr("focus_cli.enhancement.reliability.GROUP", 5)
    adata = run(cohort, tmp_path / "a.h5ad")
    found = record(adata)
    assert found["genes"]["n_genes"] >= 5 and found["levels"]["n_pairs"] == found["genes"]["n_genes"]
    outside = ~adata.var[keys.MEASURED]
    reliability = adata.var.loc[outside, keys.VAR_RELIABILITY]
    assert reliability.max() <= max(found["reliability"]["reliability"]) + 1e-3
    np.testing.assert_array_equal(adata.var.loc[outside, keys.ABSTAIN], reliability < ABSTAIN)


def test_without_counts_nothing_is_calibrated(cohort, tmp_path):
    found = record(run(cohort, tmp_path / "a.h5ad", histology_only=True))
    assert all(found[name]["value"] == 1 for name in ("counts", "positions", "genes", "levels"))


def test_locations_without_molecules_and_image_are_not_to_be_read(cohort, tmp_path):
    tissue = grow(side=10)
    counts = tissue.counts.tolil()
    counts[7] = 0
    blind = store_tissue(tmp_path / "S1", tissue, counts=counts.tocsr(), image=False)
    flagged = run(cohort, tmp_path / "a.h5ad", sample=blind).obs[keys.ABSTAIN]
    assert np.flatnonzero(flagged).tolist() == [7]


def test_widened_predictions_have_wider_spreads():
    pairs = PredictedCounts.from_shares(np.array([3.0]), 100.0, 0.05, 0.01, 0.5)
    wide = pairs.widened(2.0)
    assert wide.shape == pytest.approx(pairs.shape / 4) and wide.level_sd == pytest.approx(1.0)

"""Linear maps of morphology: ridge regression in closed form, and nothing where nothing predicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model.training.tiny_cohort import PITCH_UM, grow, store_tissue
from scipy import sparse

from focus_cli.core.storage import open_sample
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.conditioning.sample import without_image
from focus_cli.model.priors import fit_prior, panel_statistics
from focus_cli.model.training import image_map
from focus_cli.model.training.image_map import fit_maps


@pytest.fixture(scope="module")
def prior(data):
    return fit_prior([(data.genes, data.counts, data.xy_um, PITCH_UM)], 4)


def latent_of(data, prior) -> np.ndarray:
    """Posterior mean of the latent at each location from its own counts, n × K."""
    rows = prior.rows(data.names)
    panel = panel_statistics(prior.loadings[rows], data.baseline(prior)[rows], np.ones(len(rows), bool))
    t, e = panel(data.counts, data.exposure)
    return t / (1 + e[:, None] * panel.precision) @ panel.basis.T


def test_the_map_predicts_tissue_that_it_was_not_fitted_on(data, prior, tmp_path):
    found = fit_maps([data], prior).latent
    weight, bias = found.weight, found.bias
    other = load_sample_data(open_sample(store_tissue(tmp_path / "S2", grow(seed=8))))
    predicted = other.footprint_features(other.xy_um) @ weight.T + bias
    known = latent_of(other, prior)
    shown = np.argmax(np.abs(np.corrcoef(grow(seed=8).factors[:, 0], known.T)[0, 1:]))  # the image shows this one
    assert np.corrcoef(predicted[:, shown], known[:, shown])[0, 1] > 0.8


def test_it_solves_the_normal_equations(data, prior, monkeypatch):
    monkeypatch.setattr(image_map, "PENALTIES", (0.1,))
    found = fit_maps([data], prior).latent
    weight, bias = found.weight, found.bias
    rows = prior.rows(data.names)
    panel = panel_statistics(prior.loadings[rows], data.baseline(prior)[rows], np.ones(len(rows), bool))
    t, e = panel(data.counts, data.exposure)
    f = np.column_stack([data.footprint_features(data.xy_um), np.ones(len(e))]).astype(np.float64)
    information = (panel.basis * panel.precision) @ panel.basis.T
    left = np.kron((f * e[:, None]).T @ f, information)
    penalty = 0.1 * np.diag(left).mean()
    exact = np.linalg.solve(left + penalty * np.eye(len(left)), (f.T @ (t @ panel.basis.T)).ravel())
    exact = exact.reshape(f.shape[1], -1)
    np.testing.assert_allclose(np.vstack([weight.T, bias]), exact, atol=2e-3 * np.abs(exact).max())


def test_blocks_of_rows_change_nothing(data, prior, monkeypatch):
    whole = fit_maps([data], prior).latent.weight
    monkeypatch.setattr(image_map, "_ROWS", 17)
    np.testing.assert_allclose(fit_maps([data], prior).latent.weight, whole, rtol=1e-4, atol=1e-6)


def test_without_an_image_or_a_relation_there_is_no_map(data, prior):
    assert not fit_maps([without_image(data, 3)], prior).latent.weight.any()
    order = np.random.default_rng(0).permutation(len(data.xy_um))
    shuffled = replace(data, counts=data.counts[order])
    weight = fit_maps([shuffled], prior).latent.weight
    assert np.linalg.norm(weight) < 0.3 * np.linalg.norm(fit_maps([data], prior).latent.weight)


def test_depth_follows_the_feature_that_it_follows_and_has_the_level_of_the_samples(data, prior):
    first = data.footprint_features(data.xy_um)[:, 0]
    rng = np.random.default_rng(1)
    depth = np.exp(6 + 0.5 * first + rng.normal(0, 0.1, len(first)))
    counts = sparse.csr_matrix(rng.poisson(depth[:, None] / 36, (len(first), 36)).astype(np.float32))
    found = fit_maps([replace(data, counts=counts)], prior)
    weight, level = found.depth, found.depth_level
    predicted = data.footprint_features(data.xy_um) @ weight
    assert np.corrcoef(predicted, np.log(depth))[0, 1] > 0.95
    assert np.polyfit(predicted, np.log(depth), 1)[0] == pytest.approx(1, abs=0.1)
    assert level == pytest.approx(6, abs=0.2)

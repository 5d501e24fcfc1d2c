"""Panel statistics against the posterior of the dense linear-Gaussian model that they summarise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from focus_cli.model.priors import panel_statistics

REFERENCE_EXPOSURE = 3000.0  # ē and φ of the model, as its documentation states them
OVERDISPERSION = 0.1


@pytest.fixture
def problem():
    rng = np.random.default_rng(3)
    n, genes, k = 5, 14, 3
    baseline = rng.dirichlet(np.ones(genes))
    loadings = rng.normal(0, 0.4, (genes, k))
    counts = rng.poisson(rng.uniform(200, 4000, (n, 1)) * baseline).astype(np.float64)
    return counts, baseline, loadings


def dense_posterior(y: np.ndarray, baseline: np.ndarray, loadings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of z ~ N(0, I) given x = V z + noise, noise ~ N(0, (ē / e) I), all genes seen."""
    e = y.sum()
    b = np.sqrt(REFERENCE_EXPOSURE / (baseline + OVERDISPERSION * baseline**2 * REFERENCE_EXPOSURE))
    x = (y / e - baseline) * b
    v = loadings * (baseline * b)[:, None]
    noise = REFERENCE_EXPOSURE / e * np.eye(len(y))
    gain = v.T @ np.linalg.inv(v @ v.T + noise)
    return gain @ x, np.eye(loadings.shape[1]) - gain @ v


def posterior(encoder, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t, exposure = encoder(sparse.csr_matrix(counts), counts.sum(axis=1))
    variance = 1 / (1 + exposure[:, None] * encoder.precision)
    return (t * variance) @ encoder.basis.T, variance


def test_they_give_the_dense_posterior(problem):
    counts, baseline, loadings = problem
    encoder = panel_statistics(loadings, baseline, np.ones(len(baseline), bool))
    mean, variance = posterior(encoder, counts)
    for i, y in enumerate(counts):
        expected_mean, expected_covariance = dense_posterior(y, baseline, loadings)
        np.testing.assert_allclose(mean[i], expected_mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            encoder.basis @ np.diag(variance[i]) @ encoder.basis.T, expected_covariance, rtol=1e-4, atol=1e-5
        )


def test_a_hidden_gene_is_as_good_as_a_gene_that_is_not_there(problem):
    counts, baseline, loadings = problem
    visible = np.arange(len(baseline)) % 3 > 0
    hidden = panel_statistics(loadings, baseline, visible)
    seen = counts * visible
    mean, _ = posterior(hidden, seen)
    smaller = panel_statistics(loadings[visible], baseline[visible], np.ones(visible.sum(), bool))
    expected, _ = posterior(smaller, counts[:, visible])
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-5)


def test_pooled_statistics_are_the_statistics_of_summed_counts(problem):
    counts, baseline, loadings = problem
    encoder = panel_statistics(loadings, baseline, np.ones(len(baseline), bool))
    t, exposure = encoder(sparse.csr_matrix(counts), counts.sum(axis=1))
    whole = counts.sum(axis=0, keepdims=True)
    t_sum, exposure_sum = encoder(sparse.csr_matrix(whole), whole.sum(axis=1))
    np.testing.assert_allclose(t.sum(axis=0), t_sum[0], rtol=1e-4, atol=1e-4)
    assert exposure.sum() == pytest.approx(exposure_sum[0], rel=1e-6)


def test_the_order_of_genes_does_not_matter(problem):
    counts, baseline, loadings = problem
    order = np.random.default_rng(0).permutation(len(baseline))
    mean, _ = posterior(panel_statistics(loadings, baseline, np.ones(len(order), bool)), counts)
    shuffled = panel_statistics(loadings[order], baseline[order], np.ones(len(order), bool))
    np.testing.assert_allclose(posterior(shuffled, counts[:, order])[0], mean, rtol=1e-4, atol=1e-5)


def test_counts_at_their_expectation_say_that_the_latent_is_zero(problem):
    _, baseline, loadings = problem
    encoder = panel_statistics(loadings, baseline, np.ones(len(baseline), bool))
    mean, variance = posterior(encoder, 2500 * baseline[None])
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    assert (variance < 1).all()


def test_nothing_visible_leaves_the_prior(problem):
    counts, baseline, loadings = problem
    encoder = panel_statistics(loadings, baseline, np.zeros(len(baseline), bool))
    mean, variance = posterior(encoder, 0 * counts)
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_array_equal(variance, 1)

"""Measures that depth cannot raise: deviance explained and the correlation of Pearson residuals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from focus_cli.evaluation import metrics

N, GENES = 600, 12
ONE = np.zeros(N, dtype=np.int64)


def tissue(seed: int = 0, spread: float = 0.6):
    """Counts, depth and true shares; depth varies a hundredfold."""
    rng = np.random.default_rng(seed)
    depth = np.exp(rng.uniform(np.log(100), np.log(10_000), N))
    level = rng.dirichlet(np.ones(GENES) * 5) * 0.3
    share = level * np.exp(spread * rng.normal(size=(N, GENES)))
    return rng.poisson(depth[:, None] * share).astype(np.float32), depth, share


def d2(counts, depth, share) -> float:
    constant = metrics.at_level(counts, np.broadcast_to(depth[:, None], counts.shape))
    expected = metrics.at_level(counts, depth[:, None] * share)
    found, least = (metrics.poisson_deviance(counts, e, ONE).sum(axis=0) for e in (expected, constant))
    return float(metrics.deviance_explained(found, least))


def test_the_deviance_is_twice_the_gap_to_the_saturated_likelihood():
    counts, depth, share = tissue()
    mean = depth[:, None] * share
    gap = poisson.logpmf(counts, np.maximum(counts, 1e-300)) - poisson.logpmf(counts, mean)
    np.testing.assert_allclose(metrics.poisson_deviance(counts, mean, ONE)[0], 2 * gap.sum(axis=0), rtol=1e-9)


def test_blocks_add_up():
    counts, depth, share = tissue()
    blocks = np.arange(N) % 7
    whole = metrics.poisson_deviance(counts, depth[:, None] * share, ONE)[0]
    np.testing.assert_allclose(metrics.poisson_deviance(counts, depth[:, None] * share, blocks).sum(axis=0), whole)


def test_a_constant_gene_explains_nothing_and_the_truth_nearly_all_that_is_not_noise():
    counts, depth, share = tissue()
    assert d2(counts, depth, np.ones((N, GENES))) == pytest.approx(0, abs=1e-12)
    assert d2(counts, depth, share) > 0.9
    flat, depth, known = tissue(spread=0.0)
    assert abs(d2(flat, depth, known)) < 0.01


def test_levels_of_genes_and_a_wrong_depth_of_the_method_do_not_count():
    counts, depth, share = tissue()
    levels = np.random.default_rng(1).uniform(0.1, 10, GENES)
    assert d2(counts, depth, share * levels) == pytest.approx(d2(counts, depth, share), abs=1e-9)


def test_too_large_an_amplitude_costs():
    counts, depth, share = tissue()
    mean = share.mean(axis=0)
    wide = mean * (share / mean) ** 2
    assert d2(counts, depth, wide) < d2(counts, depth, share) - 0.1


def test_residual_correlation_by_hand_and_for_a_constant():
    counts, depth, share = tissue()
    found = metrics.pearson_residual_correlation(counts, depth, share)
    gene = 3
    p = counts[:, gene].sum() / depth.sum()
    s = share[:, gene] * counts[:, gene].sum() / (depth * share[:, gene]).sum()
    residual = (counts[:, gene] - depth * p) / np.sqrt(depth * p)
    expected = np.corrcoef(residual, np.sqrt(depth / p) * (s - p))[0, 1]
    assert found[gene] == pytest.approx(expected, rel=1e-6)
    assert (found > 0.8).all()
    assert np.isnan(metrics.pearson_residual_correlation(counts, depth, np.full((N, GENES), 0.2))).all()
    empty = counts.copy()
    empty[:, 0] = 0
    assert np.isnan(metrics.pearson_residual_correlation(empty, depth, share)[0])

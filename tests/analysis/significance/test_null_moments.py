"""Tails, moments and combinations: right where nothing is true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import gamma, norm

from focus_cli.analysis.patterns.autocorrelation import _moments, autocorrelation
from focus_cli.analysis.significance.counts import ObservedCounts, depth_basis
from focus_cli.analysis.significance.distances import pairs_within, spacing
from focus_cli.analysis.significance.pvalues import cauchy_combination, q_values, upper_tail


def hexagons(side: int = 20, pitch: float = 100.0) -> np.ndarray:
    """Centres of a hexagonal array."""
    row, column = np.mgrid[:side, :side].reshape(2, -1)
    return pitch * np.column_stack([column + 0.5 * (row % 2), row * np.sqrt(3) / 2])


def null_counts(xy: np.ndarray, n_genes: int, per_gene: float, dispersion: float, seed: int) -> ObservedCounts:
    """Genes at a constant share of a depth that is smooth in space, beside one gene that holds most of the counts."""
    rng = np.random.default_rng(seed)
    depth = np.exp(0.4 * np.sin(xy[:, 0] / 400) + rng.normal(0, 0.3, len(xy)))
    mean = per_gene * depth / depth.sum()
    blur = rng.standard_gamma(1 / dispersion, (len(xy), n_genes)) * dispersion if dispersion else 1.0
    genes = rng.poisson(mean[:, None] * blur * np.ones(n_genes))
    other = rng.poisson(20 * n_genes * mean)
    return ObservedCounts(sparse.csc_matrix(np.column_stack([genes, other]).astype(np.float32)), np.arange(len(xy)), xy)


@pytest.mark.parametrize("per_gene", [30, 3000])
@pytest.mark.parametrize("dispersion", [0.0, 0.3])
def test_false_alarms_are_as_many_as_stated(per_gene: float, dispersion: float) -> None:
    n = 1000
    observed = null_counts(hexagons(), n, per_gene, dispersion, seed=1)
    p = cauchy_combination(autocorrelation(observed, np.arange(n)).p)
    assert 0.02 < (p < 0.05).mean() < 0.07
    assert (p < 0.001).sum() < 7


def test_the_moments_are_those_of_the_quadratic_form() -> None:
    xy, rng = hexagons(7), np.random.default_rng(0)
    totals = rng.integers(50, 150, len(xy)).astype(float)
    basis = depth_basis(totals)
    graph = pairs_within(xy, 100.0)
    found = _moments(graph, xy, totals, basis)
    project = np.eye(len(xy)) - basis @ basis.T
    form = project @ graph.toarray() @ project
    assert found.mean == pytest.approx(np.trace(form))
    assert found.pairs[0] * found.shrink == pytest.approx((form**2).sum())
    assert found.third == pytest.approx(np.trace(form @ form @ form))
    skew = totals ** (np.arange(3)[:, None] - 0.5)
    assert found.skews == pytest.approx(skew @ graph.toarray() @ skew.T)


def test_depth_is_no_pattern() -> None:
    # A gene whose share falls smoothly with the depth is explained by it.
    xy, rng = hexagons(), np.random.default_rng(3)
    depth = np.exp(0.5 * np.sin(xy[:, 0] / 300))
    mean = 20 * depth[:, None] ** np.array([1.0, 0.6, 1.3])
    counts = np.column_stack([rng.poisson(mean), rng.poisson(2000 * depth)])
    observed = ObservedCounts(sparse.csc_matrix(counts.astype(np.float32)), np.arange(len(xy)), xy)
    assert (cauchy_combination(autocorrelation(observed, np.arange(3)).p) > 1e-3).all()


def test_a_gene_of_one_half_is_found() -> None:
    xy = hexagons()
    observed = null_counts(xy, 50, 300, 0.05, seed=4)
    counts = observed.counts.toarray()
    rng = np.random.default_rng(5)
    depth = observed.totals / observed.totals.mean()
    counts[:, 0] = rng.poisson(depth * np.where(xy[:, 1] < np.median(xy[:, 1]), 1.5, 0.5))
    found = autocorrelation(ObservedCounts(sparse.csc_matrix(counts), observed.rows, xy), np.arange(50))
    assert found.p[0].min() < 1e-5
    assert found.moran[0] > 0.05


def test_nothing_depends_on_order_or_orientation() -> None:
    xy = hexagons(12)
    observed = null_counts(xy, 20, 400, 0.1, seed=6)
    expected = autocorrelation(observed, np.arange(20)).p
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(xy)), rng.permutation(21)
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    other = ObservedCounts(
        sparse.csc_matrix(observed.counts[rows][:, columns]), observed.rows, (xy @ turn.T + 5000)[rows]
    )
    where = np.argsort(columns)[:20]
    assert autocorrelation(other, where).p == pytest.approx(expected, rel=1e-4)


def test_spacing_is_the_pitch_of_hexagons_and_in_any_unit() -> None:
    assert spacing(hexagons()) == pytest.approx(100)
    assert spacing(hexagons() / 1000) == pytest.approx(0.1)
    graph = pairs_within(hexagons(9), 100.0)
    assert np.diff(graph.indptr).max() == 6
    assert (graph != graph.T).nnz == 0
    assert graph.diagonal().sum() == 0


def test_tail_of_normal_and_gamma() -> None:
    z = np.array([-2.0, 0.0, 2.0, 5.0])
    assert upper_tail(z, 0.0, 1.0, 0.0) == pytest.approx(norm.sf(z), rel=0.02)
    x = np.array([1.0, 4.0, 12.0])
    assert upper_tail(x, 4.0, 4.0, 8 * 4 / 4) == pytest.approx(gamma(4).sf(x), rel=1e-6)
    assert (upper_tail(np.array([1e6]), 0.0, 1.0, 0.0) > 0).all()


def test_combination_of_p_values() -> None:
    same = np.array([0.3, 1e-9, 1e-200, 0.99])
    assert cauchy_combination(np.column_stack([same, same, same])) == pytest.approx(same, rel=1e-6)
    assert cauchy_combination(np.array([[0.02, np.nan]])) == pytest.approx([0.02])
    assert np.isnan(cauchy_combination(np.array([[np.nan, np.nan]]))).all()
    assert cauchy_combination(np.array([[1e-6, 0.9]]))[0] == pytest.approx(2e-6, rel=0.01)


def test_q_values_ignore_what_was_not_tested() -> None:
    p = np.array([0.01, np.nan, 0.02, 0.5])
    q = q_values(p)
    assert np.isnan(q[1])
    assert q[[0, 2, 3]] == pytest.approx([0.03, 0.03, 0.5])

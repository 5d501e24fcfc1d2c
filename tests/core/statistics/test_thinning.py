"""Two halves of the same molecules: they sum back, and neither knows of the other."""

import numpy as np
import pytest
from scipy import sparse, stats

from focus_cli.core.statistics.thinning import thin
from focus_cli.evaluation.ceiling import thin_with_exposure


def test_parts_sum_back_and_hold_whole_molecules():
    rng = np.random.default_rng(0)
    counts = sparse.random(300, 80, density=0.3, random_state=1, data_rvs=lambda k: rng.integers(1, 9, k)).tocsr()
    shown, rest = thin(counts, 0.8, rng)
    assert (shown + rest != counts).nnz == 0
    for part in (shown, rest):
        assert part.data.min() >= 1 and (part.data == np.rint(part.data)).all()
    assert shown.sum() / counts.sum() == pytest.approx(0.8, abs=0.02)


def test_halves_of_poisson_counts_are_independent_and_those_of_a_fixed_count_are_not():
    rng = np.random.default_rng(1)
    poisson = sparse.csr_matrix(rng.poisson(4.0, (20_000, 1)))
    a, b = (part.toarray().ravel() for part in thin(poisson, 0.5, rng))
    assert abs(stats.pearsonr(a, b).statistic) < 3 / np.sqrt(20_000)
    assert a.var() == pytest.approx(a.mean(), rel=0.05)  # still Poisson
    fixed = sparse.csr_matrix(np.full((20_000, 1), 4.0))
    a, b = (part.toarray().ravel() for part in thin(fixed, 0.5, rng))
    assert stats.pearsonr(a, b).statistic == pytest.approx(-1, abs=1e-4)


def test_thinning_leaves_the_counts_alone():
    counts = sparse.csr_matrix(np.full((3, 3), 9.0))
    thin(counts, 0.5, np.random.default_rng(0))
    assert (counts.data == 9).all()


def test_same_seed_same_parts():
    counts = sparse.csr_matrix(np.random.default_rng(2).poisson(3.0, (50, 20)))
    first, second, other = (thin(counts, 0.5, np.random.default_rng(s))[0] for s in (7, 7, 8))
    assert (first != second).nnz == 0 and (first != other).nnz > 0


def test_the_exposure_is_thinned_with_the_molecules_it_counts():
    rng = np.random.default_rng(3)
    counts = sparse.csr_matrix(rng.poisson(2.0, (100, 10)))
    exposure = np.asarray(counts.sum(axis=1)).ravel() + rng.poisson(50, 100)
    (a, depth_a), (b, depth_b) = thin_with_exposure(counts, exposure, rng, inside=True)
    np.testing.assert_array_equal(depth_a + depth_b, exposure)
    assert (depth_a >= np.asarray(a.sum(axis=1)).ravel()).all() and depth_a.std() > 0
    assert (a + b != counts).nnz == 0
    (_, depth_a), (_, depth_b) = thin_with_exposure(counts, exposure, rng, inside=False)
    np.testing.assert_array_equal(depth_a, exposure / 2)
    np.testing.assert_array_equal(depth_b, exposure / 2)

"""Every formula against an independent implementation or a value known by hand."""

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.spatial.distance import jensenshannon

from focus_cli.core.statistics.resampling import block_draws, interval
from focus_cli.evaluation import metrics
from focus_cli.evaluation.ceiling import ceiling_of_halves, noise_ceiling
from focus_cli.evaluation.metrics import mean_pearson_draws
from focus_cli.evaluation.normalise import column_chunks, log1p_cp10k
from focus_cli.evaluation.space import morans_i, neighbour_weights, pitch_of, spatial_blocks


@pytest.fixture
def pair():
    rng = np.random.default_rng(1)
    truth = np.log1p(rng.poisson(2, size=(200, 7)) * rng.uniform(0.5, 2, (200, 1))).astype(np.float32)
    return truth, (0.4 * truth + rng.normal(0, 0.5, truth.shape)).astype(np.float32)


def moments_of(truth, prediction, blocks=None):
    blocks = np.zeros(len(truth), dtype=int) if blocks is None else blocks
    return metrics.block_moments(truth, prediction, blocks)


def test_pearson_and_rmse_from_blocks_equal_scipy(pair):
    truth, prediction = pair
    total = moments_of(truth, prediction, np.arange(200) % 9).total()
    wanted = [stats.pearsonr(truth[:, j], prediction[:, j]).statistic for j in range(7)]
    np.testing.assert_allclose(metrics.pearson(total), wanted, rtol=1e-6)
    np.testing.assert_allclose(metrics.column_pearson(truth, prediction), wanted, rtol=1e-6)
    np.testing.assert_allclose(
        metrics.rmse(total), np.sqrt(((truth - prediction).astype(float) ** 2).mean(axis=0)), rtol=1e-6
    )


def test_pearson_keeps_its_sign(pair):
    truth, _ = pair
    np.testing.assert_allclose(metrics.pearson(moments_of(truth, -truth).total()), -1, atol=1e-9)


@pytest.mark.parametrize("level", [0.0, 0.3127, 7.5])
def test_a_flat_column_is_undefined_not_a_rounding_accident(pair, level):
    truth, _ = pair
    flat = np.full_like(truth, level)
    assert np.isnan(metrics.pearson(moments_of(truth, flat).total())).all()
    assert np.isnan(metrics.column_pearson(flat, truth)).all()
    assert metrics.flat_truth(moments_of(flat, truth).total()).all()
    assert not metrics.flat_truth(moments_of(truth, flat).total()).any()


def test_a_single_molecule_in_many_bins_is_not_flat():
    truth = np.zeros((200_000, 1), dtype=np.float32)
    truth[17] = 4.6
    assert metrics.pearson(moments_of(truth, truth).total())[0] == pytest.approx(1)


def test_spearman_with_ties_equals_scipy(pair):
    truth, prediction = pair
    prediction = np.round(prediction, 1)
    wanted = [stats.spearmanr(truth[:, j], prediction[:, j]).statistic for j in range(7)]
    np.testing.assert_allclose(metrics.spearman(truth, prediction), wanted, rtol=1e-6)


def test_jensen_shannon_equals_scipy_squared(pair):
    truth, prediction = (np.abs(part) for part in pair)
    wanted = [jensenshannon(truth[:, j], prediction[:, j]) ** 2 for j in range(7)]
    np.testing.assert_allclose(metrics.jensen_shannon(truth, prediction), wanted, rtol=1e-6)
    np.testing.assert_allclose(metrics.jensen_shannon(truth, 3 * truth), 0, atol=1e-12)
    assert np.isnan(metrics.jensen_shannon(truth, 0 * truth)).all()


def test_global_ssim_by_hand(pair):
    truth, prediction = pair
    x, y, top = prediction[:, 2].astype(float), truth[:, 2].astype(float), float(truth[:, 2].max())
    c1, c2 = (0.01 * top) ** 2, (0.03 * top) ** 2
    covariance = np.cov(x, y, bias=True)[0, 1]
    wanted = (2 * x.mean() * y.mean() + c1) * (2 * covariance + c2)
    wanted /= (x.mean() ** 2 + y.mean() ** 2 + c1) * (x.var() + y.var() + c2)
    got = metrics.ssim_global(moments_of(truth, prediction).total(), truth.max(axis=0))
    assert got[2] == pytest.approx(wanted, rel=1e-6)
    np.testing.assert_allclose(metrics.ssim_global(moments_of(truth, truth).total(), truth.max(axis=0)), 1)


def test_poisson_log_likelihood_equals_scipy_above_the_floor(pair):
    rng = np.random.default_rng(0)
    mean = rng.gamma(2, 1, (50, 3))
    counts = rng.poisson(mean)
    np.testing.assert_allclose(
        metrics.poisson_log_likelihood(counts, mean), stats.poisson.logpmf(counts, mean).sum(axis=0)
    )
    never = metrics.poisson_log_likelihood(counts, 0 * mean)
    assert np.isfinite(never).all() and (never < stats.poisson.logpmf(counts, mean).sum(axis=0)).all()


def test_gene_structure_sees_structure_and_not_levels(pair):
    rng = np.random.default_rng(2)
    factors = rng.normal(size=(300, 2))
    truth = factors @ rng.normal(size=(2, 30)) + 0.3 * rng.normal(size=(300, 30))
    assert metrics.gene_structure(truth, 5 * truth + 2) == pytest.approx(1)
    assert abs(metrics.gene_structure(truth, rng.normal(size=truth.shape))) < 0.2
    half_flat = truth.copy()
    half_flat[:, :15] = 0
    assert 0 < metrics.gene_structure(truth, half_flat) < 0.9
    assert np.isnan(metrics.gene_structure(truth, 0 * truth))


def test_morans_i_equals_the_textbook_double_sum():
    rng = np.random.default_rng(3)
    xy = rng.uniform(0, 100, (40, 2))
    weights = neighbour_weights(xy, 4)
    dense, z = weights.toarray(), rng.normal(size=(40, 2))
    centred = z - z.mean(axis=0)
    for j in range(2):
        above = sum(dense[a, b] * centred[a, j] * centred[b, j] for a in range(40) for b in range(40))
        assert morans_i(z, weights)[j] == pytest.approx(40 / dense.sum() * above / (centred[:, j] ** 2).sum())
    assert np.isnan(morans_i(np.ones((40, 1)), weights)).all()
    assert morans_i(xy, weights).min() > 0.5 > morans_i(rng.normal(size=(40, 1)), weights)[0]


def test_neighbours_never_hold_the_location_itself_even_at_equal_positions():
    xy = np.repeat(np.array([[0.0, 0.0], [10.0, 0.0]]), 5, axis=0)
    weights = neighbour_weights(xy, 3)
    assert weights.diagonal().sum() == 0
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_pitch_and_blocks():
    xy = np.array([[100.0 * i, 100.0 * j] for i in range(16) for j in range(16)])
    assert pitch_of(xy) == 100
    blocks = spatial_blocks(xy)
    assert len(np.unique(blocks)) == 64 == blocks.max() + 1
    assert (np.bincount(blocks) == 4).all()
    line = spatial_blocks(np.column_stack([np.arange(30.0), np.zeros(30)]))
    assert line.max() == 7


def test_cp10k_by_hand_and_an_empty_location():
    counts = sparse.csr_matrix(np.array([[1.0, 3.0], [0.0, 0.0], [2.0, 0.0]]))
    got = log1p_cp10k(counts, np.array([4.0, 0.0, 100.0])).toarray()
    np.testing.assert_allclose(got, np.log1p([[2500, 7500], [0, 0], [200, 0]]), rtol=1e-6)


def test_chunks_cover_every_column_once():
    chunks = list(column_chunks(1000, 53, limit=40_000))
    assert len(chunks) == 6
    np.testing.assert_array_equal(np.concatenate(chunks), np.arange(53))


def test_ceiling_of_halves():
    got = ceiling_of_halves(np.array([1.0, 0.5, 0.0, -0.2, np.nan]))
    np.testing.assert_allclose(got[:2], [1, np.sqrt(2 / 3)])
    assert np.isnan(got[2:]).all()


@pytest.mark.parametrize(("depth", "near"), [(1500, 0.04), (20_000, 0.01)])
@pytest.mark.parametrize("inside", [True, False])
def test_the_ceiling_is_what_the_true_expression_reaches(inside, depth, near):
    """Poisson counts of known expression: its own correlation with them is the ceiling.

    The halves' noise on a logarithm is more than twice that of the whole, so the ceiling is a little low
    where counts are small.
    """
    rng = np.random.default_rng(4)
    n, n_genes = 4000, 30
    share = np.exp(rng.normal(0, 0.6, (n, n_genes)))
    share *= 0.4 / share.sum(axis=1, keepdims=True)  # the other 60 % are genes that are not scored
    counts = rng.poisson(share * depth)
    if inside:
        exposure = counts.sum(axis=1) + rng.poisson(0.6 * depth, n)
    else:
        exposure = np.full(n, float(depth))
    truth = log1p_cp10k(sparse.csr_matrix(counts), exposure).toarray()
    best = metrics.column_pearson(truth, np.log1p(1e4 * share))
    _, ceiling = noise_ceiling(sparse.csr_matrix(counts), exposure, inside=inside, seed=0)
    assert 0.5 < ceiling.mean() < 0.999
    assert best.sum() / ceiling.sum() == pytest.approx(1, abs=near)


def test_pure_noise_has_no_ceiling_worth_the_name():
    rng = np.random.default_rng(5)
    counts = sparse.csr_matrix(rng.poisson(1.0, (500, 60)))
    r, ceiling = noise_ceiling(counts, np.full(500, 1000.0), inside=False, seed=1)
    assert abs(r.mean()) < 0.03
    negative = r < 0
    assert 0 < negative.sum() < 60
    np.testing.assert_array_equal(np.isnan(ceiling), negative)


def test_bootstrap_holds_the_estimate_and_narrows_with_the_section():
    widths = []
    for n in (400, 6400):
        rng = np.random.default_rng(6)
        truth = rng.normal(size=(n, 5))
        prediction = truth + rng.normal(size=truth.shape)
        blocks = np.arange(n) % 64
        moments = moments_of(truth, prediction, blocks)
        draws = block_draws(64, seed=0)
        assert (draws.sum(axis=1) == 64).all()
        low, high = interval(mean_pearson_draws(moments, draws, np.arange(5)))
        assert low < metrics.pearson(moments.total()).mean() < high
        assert low < np.sqrt(0.5) < high
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]


def test_one_bootstrap_draw_equals_scoring_the_repeated_locations(pair):
    truth, prediction = pair
    blocks = np.arange(200) % 8
    draw = np.array([[2.0, 0, 1, 0, 3, 1, 1, 0]])
    rows = np.concatenate([np.tile(np.flatnonzero(blocks == b), int(k)) for b, k in enumerate(draw[0])])
    wanted = metrics.column_pearson(truth[rows], prediction[rows]).mean()
    got = mean_pearson_draws(moments_of(truth, prediction, blocks), draw, np.arange(7))
    assert got[0] == pytest.approx(wanted, rel=1e-9)


def test_an_interval_of_nothing_is_undefined():
    assert np.isnan(interval(np.array([np.nan, 1.0]))).all()

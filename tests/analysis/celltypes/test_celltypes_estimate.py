"""Cell types against truth that is known: sections put together from cells, and the simulator."""

from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from focus_cli.analysis.celltypes.correction import TypeEstimate, named_sets, set_threshold, slack, widened
from focus_cli.analysis.celltypes.estimate import cell_groups, find_types
from focus_cli.analysis.celltypes.holdout_calibration import Measurement, calibration_section
from focus_cli.analysis.celltypes.mixture import fractions, least_squares, mixtures, no_gains, platform_gains
from focus_cli.analysis.celltypes.profiles import informative_genes, type_profiles

QUICK = 4000


def make_cells(rng, n=240, n_types=4, n_genes=40, noise=0.2):
    """Cells of types with markers of their own, and molecules that differ from type to type."""
    log = rng.normal(0, 0.3, (n_types, n_genes))
    for k in range(n_types):
        log[k, k * 6 : k * 6 + 6] += 2.5
    kind = np.arange(n) % n_types
    size = np.array([1.0, 2.0, 0.7, 1.4])[kind] * rng.lognormal(0, 0.2, n)
    mean = np.exp(log[kind] + rng.normal(0, noise, (n, n_genes))) * size[:, None]
    obs = pd.DataFrame({"cell_type": [f"type {k}" for k in kind]}, index=[f"c{i:03d}" for i in range(n)])
    return ad.AnnData(sparse.csr_matrix(rng.poisson(mean).astype(np.float32)), obs=obs, var=gene_names(n_genes))


def gene_names(n):
    return pd.DataFrame(index=[f"g{i:02d}" for i in range(n)])


@pytest.fixture(scope="module")
def world():
    """Profiles, and a section of 12 × 12 locations in two halves whose cells were not those of the reference."""
    rng = np.random.default_rng(0)
    cells = make_cells(rng, 480)
    mine, theirs = cells[:240].copy(), cells[240:].copy()
    profiles = type_profiles(SimpleNamespace(path="r", cells=mine), mine.var, np.ones(40, bool), 1000)
    other = type_profiles(SimpleNamespace(path="r", cells=theirs), mine.var, np.ones(40, bool), 1000)
    xy = np.argwhere(np.ones((12, 12))).astype(float) * 100
    left = (xy[:, :1] < 600) * np.array([0.6, 0.3, 0.05, 0.05]) + (xy[:, :1] >= 600) * np.array([0.05, 0.1, 0.6, 0.25])
    counts, truth = calibration_section(left, other, Measurement(5.0, 300.0, 0.1, 0.0), np.random.default_rng(1))
    return SimpleNamespace(profiles=profiles, xy=xy, counts=counts, truth=truth)


@pytest.fixture(scope="module")
def found(world):
    return find_types(world.counts, world.profiles, world.xy, 5.0, calibration_locations=QUICK)


def test_shares_and_intervals_come_close_to_the_truth(world, found):
    estimate, truth = found.estimate, world.truth
    assert np.allclose(estimate.share.sum(axis=1), 1, atol=1e-5)
    assert (estimate.low <= estimate.share).all() and (estimate.share <= estimate.high).all()
    assert estimate.low.min() >= 0 and estimate.high.max() <= 1
    plain = fractions(least_squares(world.counts, world.profiles.share), world.profiles.rna)
    error = np.sqrt(np.mean((estimate.share - truth) ** 2))
    assert error < 0.09 and error < np.sqrt(np.mean((plain - truth) ** 2)) + 0.005
    inside = (estimate.low - 1e-6 <= truth) & (truth <= estimate.high + 1e-6)
    assert 0.82 < inside.mean() < 0.99
    assert np.mean(estimate.share.argmax(1) == truth.argmax(1)) > 0.85


def test_confidence_is_about_how_often_the_label_is_right(world, found):
    best = found.estimate.share.argmax(1)
    chance = found.estimate.largest[np.arange(len(best)), best]
    assert abs(chance.mean() - np.mean(best == world.truth.argmax(1))) < 0.12


def test_the_same_seed_gives_the_same_numbers_and_neighbours_come_by_distance_alone(world, found):
    again = find_types(world.counts, world.profiles, world.xy, 5.0, calibration_locations=QUICK)
    assert np.array_equal(again.estimate.share, found.estimate.share)
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    turned = find_types(world.counts, world.profiles, world.xy @ turn + 1000, 5.0, calibration_locations=QUICK)
    assert np.allclose(turned.estimate.share, found.estimate.share, atol=1e-4)


def test_one_cell_each_is_labelled_with_the_set_of_types_it_may_be():
    rng = np.random.default_rng(3)
    cells = make_cells(rng, 700)
    var = cells.var
    reference = SimpleNamespace(path="r", cells=cells[:300].copy())
    profiles = type_profiles(reference, var, np.ones(40, bool), 1000)
    test = cells[300:]
    label = test.obs["cell_type"].to_numpy()
    counts = sparse.csr_matrix(test.X).astype(float)
    xy = rng.uniform(0, 1000, (len(label), 2))
    found = find_types(counts, profiles, xy, 1.0, gains=False, calibration_locations=QUICK).estimate
    truth = np.searchsorted(profiles.types, label)
    assert np.mean(found.share.argmax(1) == truth) > 0.9
    named = found.high > 0.5
    assert named[np.arange(len(truth)), truth].mean() > 0.85 and named.sum(axis=1).min() >= 1
    assert set(np.unique(found.low)) <= {0.0, 1.0} and ((found.low == 1).sum(axis=1) == (named.sum(axis=1) == 1)).all()


def test_gains_of_the_platform_are_found():
    rng = np.random.default_rng(4)
    cells = make_cells(rng, 400)
    profiles = type_profiles(SimpleNamespace(path="r", cells=cells), cells.var, np.ones(40, bool), 1000)
    gain = np.exp(rng.normal(0, 0.6, 40))
    share = profiles.share * gain
    truth = rng.dirichlet(np.ones(4) * 0.5, 300) * 2000
    counts = sparse.csr_matrix(rng.poisson(truth @ (share / share.sum(1, keepdims=True))).astype(float))
    found = platform_gains(counts, profiles.share)
    assert np.corrcoef(np.log(found.factor), np.log(gain))[0, 1] > 0.8 and 0.3 < found.sd < 0.9
    plain = sparse.csr_matrix(rng.poisson(truth @ profiles.share).astype(float))
    assert platform_gains(plain, profiles.share).sd < 0.15


def test_sparse_blocks_and_whole_agree(world, monkeypatch):
    whole = mixtures(world.counts, world.profiles.share, no_gains(40))
    monkeypatch.setattr("focus_cli.analysis.celltypes.mixture._BLOCK", 400)
    for one, two in zip(whole, mixtures(world.counts, world.profiles.share, no_gains(40))):
        assert np.allclose(one, two, rtol=1e-9)


def test_an_empty_location_gets_an_even_first_guess_and_a_finite_estimate(world):
    counts = world.counts.tolil()
    counts[0] = 0
    estimate = find_types(counts.tocsr(), world.profiles, world.xy, 5.0, calibration_locations=1200).estimate
    assert np.isfinite(estimate.share).all() and estimate.share[0].max() <= 1
    assert (estimate.high[0] - estimate.low[0]).mean() > (estimate.high[1:] - estimate.low[1:]).mean()


def test_calibration_cells_are_never_those_of_the_profiles(world):
    for cells, profiles in cell_groups(world.profiles, np.random.default_rng(0)):
        assert len(cells.kind) + len(profiles.kind) == len(world.profiles.kind)
        assert (cells.n_cells > 0).all() and (profiles.n_cells > 0).all()


def test_calibration_counts_have_the_requested_depth(world):
    even = np.full((400, 4), 0.25)
    for cut in (False, True):
        measurement = Measurement(4.0, 80.0, 0.3, 0.4, cut)
        counts, truth = calibration_section(even, world.profiles, measurement, np.random.default_rng(0))
        assert abs(counts.sum(axis=1).mean() - 80) < 6 and np.allclose(truth.sum(axis=1), 1)
        assert np.array_equal(counts.data, np.rint(counts.data))


def test_informative_genes_are_those_that_differ():
    share = np.full((2, 5), 0.2)
    share[:, 1], share[:, 3] = [0.1, 0.3], [0.3, 0.1]
    assert informative_genes(share, 2).tolist() == [1, 3] and informative_genes(share, 9).tolist() == [0, 1, 2, 3, 4]


def test_bounds_are_widened_until_nine_in_ten_hold():
    rng = np.random.default_rng(0)
    truth = rng.random((2000, 2))
    narrow = TypeEstimate(np.full((2000, 2), 0.5), np.full((2000, 2), 0.4), np.full((2000, 2), 0.6), truth)
    wide = widened(narrow, slack(narrow, truth))
    assert abs(((wide.low <= truth) & (truth <= wide.high)).mean() - 0.9) < 0.01
    assert np.array_equal(widened(narrow, slack(wide, truth)).low, narrow.low)


def test_sets_hold_the_right_type_in_nine_of_ten():
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(3), 4000)
    kind = (rng.random((4000, 1)) > np.cumsum(share, axis=1)).sum(axis=1).clip(max=2)
    estimate = TypeEstimate(share, share, share, share)
    sets = named_sets(estimate, set_threshold(estimate, np.eye(3)[kind]))
    assert abs(sets.high[np.arange(4000), kind].mean() - 0.9) < 0.02


def test_few_cells_are_told_by_how_counts_scatter():
    rng = np.random.default_rng(5)
    cells = make_cells(rng, 480, noise=1.0)
    there = SimpleNamespace(path="r", cells=cells[:240].copy())
    profiles = type_profiles(there, cells.var, np.ones(40, bool), 1000)
    other = type_profiles(SimpleNamespace(path="r", cells=cells[240:].copy()), cells.var, np.ones(40, bool), 1000)
    xy = np.argwhere(np.ones((15, 15))).astype(float)
    told = []
    for many in (2.0, 16.0):
        made = calibration_section(np.full((225, 4), 0.25), other, Measurement(many, 250.0, 0.1, 0.0), rng)[0]
        found = find_types(made, profiles, xy, 16.0, settled=False, gains=False, calibration_locations=600)
        told.append(found.facts["cells_per_location"])
    assert told[0] < told[1]

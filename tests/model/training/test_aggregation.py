"""Bins shown as spots: what is seen is coarse, what is asked is fine, and no molecule is both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model.training.tiny_cohort import TINY_TRAINING, grow, store_tissue

from focus_cli.core.storage import Footprint, open_sample
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.priors import fit_prior
from focus_cli.model.training.masks import SPOT, is_fine, lay_spots, window_size
from focus_cli.model.training.views import ViewMaker

BIN = Footprint("square", 16.0, 16.0)
ONLY = {"aggregate": 1, "hide_genes": 0, "hide_locations": 0, "hide_all_locations": 0}


@pytest.fixture(scope="module")
def bins(tmp_path_factory):
    """A tissue of 40 × 40 bins of 16 µm."""
    tissue = grow(side=40, depth=60.0)
    data = load_sample_data(open_sample(store_tissue(tmp_path_factory.mktemp("bins") / "S1", tissue, image=False)))
    return replace(data, info=replace(data.info, footprint=BIN), xy_um=data.xy_um * 0.16)


@pytest.fixture(scope="module")
def prior(bins):
    return fit_prior([(bins.genes, bins.counts, bins.xy_um, 16.0)], 3)


def maker(data, prior, **settings):
    config = TINY_TRAINING.model_copy(update={**ONLY, **settings})
    return ViewMaker(data, prior, np.zeros((0, prior.n_factors), np.float32), config)


def test_spots_are_laid_over_bins_alone():
    assert is_fine(BIN) and is_fine(Footprint("square", 2.0, 2.0))
    assert not is_fine(SPOT) and not is_fine(Footprint("circle", 100.0, 200.0))
    assert window_size(Footprint("square", 8.0, 8.0)) == pytest.approx(200 * 135, rel=0.01)


def test_every_spot_is_a_disc_of_bins_somewhere_on_the_tissue():
    xy = 8.0 * np.stack(np.meshgrid(np.arange(80), np.arange(80)), axis=-1).reshape(-1, 2)
    drawn = [lay_spots(xy, np.random.default_rng(seed)) for seed in (0, 1)]
    for spot, centres in drawn:
        assert spot.max() == len(centres) - 1 and np.isin(np.arange(len(centres)), spot).all()
        inside = spot >= 0
        distance = np.linalg.norm(xy[inside] - centres[spot[inside]], axis=1)
        assert distance.max() <= SPOT.size_um / 2 + 1e-9
        covered = np.pi * SPOT.size_um**2 / 4 / (SPOT.pitch_um**2 * np.sqrt(3) / 2)
        assert inside.mean() == pytest.approx(covered, abs=0.05)
    assert len(drawn[0][1]) != len(drawn[1][1]) or not np.allclose(drawn[0][1], drawn[1][1])


def test_molecules_between_the_spots_are_never_seen(bins, prior):
    view = maker(bins, prior).draw(np.random.default_rng(0))
    seen = float(view.view.nodes.exposure[0].sum())
    assert len(view.view.nodes.exposure[0]) < len(bins.xy_um) / 10
    asked = float(view.target_exposure.sum())
    np.testing.assert_allclose((seen + asked) * 3000, bins.exposure.sum(), rtol=1e-4)
    assert 0.1 < seen / (seen + asked) < 0.3  # about a quarter of the area, less what thinning hides


def test_bins_are_asked_one_by_one_and_told_that_the_platform_is_coarse(bins, prior):
    view = maker(bins, prior, drop_platform=0).draw(np.random.default_rng(0))
    assert view.n_locations == len(bins.xy_um) and view.points.shape[1] == 1
    assert view.view.descriptors[0, :2].tolist() == [0.0, 0.0]  # log2 of a Visium spot's size and pitch over itself
    fine = maker(bins, prior, drop_platform=0, aggregate=0).draw(np.random.default_rng(0))
    assert fine.view.descriptors[0, 0] < -1 and len(fine.view.nodes.exposure[0]) == len(bins.xy_um)


def test_a_bin_counts_against_what_is_hidden_of_it(bins, prior):
    view = maker(bins, prior).draw(np.random.default_rng(0))
    exposure = view.count_exposure.numpy()
    full = np.isclose(exposure, bins.exposure[:, None]).all(axis=1)
    assert 0.6 < full.mean() < 0.9  # bins between the spots, all of whose molecules are hidden
    assert (exposure[~full] < bins.exposure[~full, None]).all()


def test_coarse_samples_meet_the_same_views_with_the_mask_or_without(tmp_path):
    tissue = grow()
    data = load_sample_data(open_sample(store_tissue(tmp_path / "S1", tissue, image=False)))
    prior = fit_prior([tissue.for_prior], 3)
    first, second = (maker(data, prior, aggregate=a).draw(np.random.default_rng(3)) for a in (0.0, 1.0))
    np.testing.assert_array_equal(first.counts, second.counts)
    np.testing.assert_array_equal(first.target_statistics, second.target_statistics)

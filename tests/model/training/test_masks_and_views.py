"""Masks and views: something is always seen, something is always asked, and no molecule is counted twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model.training.tiny_cohort import TINY_TRAINING, grow, store_tissue

from focus_cli.core.storage import open_sample
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.conditioning.sample import without_image
from focus_cli.model.priors import fit_prior
from focus_cli.model.training import TrainingConfig
from focus_cli.model.training.masks import draw_mask
from focus_cli.model.training.views import ViewMaker


@pytest.fixture(scope="module")
def tissue():
    return grow()


@pytest.fixture(scope="module")
def prior(tissue):
    return fit_prior([tissue.for_prior], 3)


def maker(data, prior, **settings):
    states = np.ones((2, prior.n_factors), np.float32)
    return ViewMaker(data, prior, states, TINY_TRAINING.model_copy(update=settings))


def masks(n=400, config=None, n_locations=40, n_genes=12, has_image=True):
    config = config or TrainingConfig()
    xy = np.random.default_rng(0).uniform(0, 1000, (n_locations, 2))
    return [draw_mask(config, xy, n_genes, has_image, np.random.default_rng(seed)) for seed in range(n)]


def test_something_can_always_be_seen():
    for mask in masks():
        assert mask.gene_visible.any()
        assert mask.location_visible.any() or mask.image
        assert 0 < mask.share < 1


@pytest.mark.parametrize("n_locations", [1, 2, 3])
def test_something_can_be_seen_of_the_smallest_window(n_locations):
    config = TrainingConfig(hide_all_locations=0, hide_locations=1, drop_image=1)
    assert all(m.location_visible.any() or m.image for m in masks(100, config, n_locations=n_locations))


def test_without_an_image_some_location_is_always_visible():
    config = TrainingConfig(hide_all_locations=1, hide_locations=1)
    assert not any(m.location_visible.any() for m in masks(50, config))
    assert all(m.location_visible.any() for m in masks(50, config, has_image=False))


def test_every_kind_of_mask_occurs_about_as_often_as_it_is_asked_for():
    config, drawn = TrainingConfig(), masks(1000)
    everything = np.mean([not m.location_visible.any() for m in drawn])
    some = np.mean([m.location_visible.any() and not m.location_visible.all() for m in drawn])
    assert everything == pytest.approx(config.hide_all_locations, abs=0.05)
    assert some == pytest.approx((1 - config.hide_all_locations) * config.hide_locations, abs=0.05)
    assert np.mean([not m.reference for m in drawn]) == pytest.approx(config.drop_reference, abs=0.05)
    assert np.mean([not m.platform for m in drawn]) == pytest.approx(config.drop_platform, abs=0.05)
    assert {m.share for m in drawn} == set(config.visible_share)


def test_masks_that_are_switched_off_hide_nothing():
    off = {
        "hide_genes",
        "hide_locations",
        "hide_all_locations",
        "drop_image",
        "drop_reference",
        "drop_platform",
    }
    for mask in masks(50, TrainingConfig(**dict.fromkeys(off, 0))):
        assert mask.gene_visible.all() and mask.location_visible.all()
        assert mask.image and mask.reference and mask.platform


def test_patches_hide_neighbours_together():
    config = TrainingConfig(hide_locations=1, hide_all_locations=0)
    xy = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
    radii = []
    for seed in range(40):
        hidden = xy[~draw_mask(config, xy, 5, True, np.random.default_rng(seed)).location_visible]
        radii.append(np.linalg.norm(hidden - hidden.mean(axis=0), axis=1).mean())
    assert min(radii) < 5 < max(radii)  # patches, and single locations all over


def test_nothing_is_both_seen_and_asked(data, prior):
    """With all locations and genes in play, visible and hidden molecules add up to the sample's."""
    view = maker(data, prior, hide_genes=0, hide_locations=0, hide_all_locations=0).draw(np.random.default_rng(0))
    seen = view.view.nodes.exposure[0].double()
    asked = view.target_exposure.double()
    np.testing.assert_allclose((seen + asked).numpy() * 3000, data.exposure, rtol=1e-4)


def test_hidden_locations_are_asked_whole(data, prior):
    view = maker(data, prior, hide_all_locations=1, hide_genes=0, genes_per_view=36).draw(np.random.default_rng(0))
    assert all(float(e.sum()) == 0 for e in view.view.nodes.exposure)
    np.testing.assert_array_equal(view.counts.sum(dim=1).numpy(), data.exposure)
    np.testing.assert_allclose(view.count_exposure.numpy(), np.repeat(data.exposure[:, None], 36, axis=1))


def test_hidden_genes_are_asked_whole_and_named_unseen(data, prior):
    view = maker(data, prior, hide_genes=1, genes_per_view=36).draw(np.random.default_rng(2))
    unseen = view.genes.unseen.numpy().astype(bool)
    assert 0 < unseen.sum() < 36
    whole = data.counts.toarray()  # all genes are drawn, in the panel's order
    np.testing.assert_array_equal(view.counts.numpy()[:, unseen], whole[:, unseen])
    assert (view.counts.numpy()[:, ~unseen] <= whole[:, ~unseen]).all()


def test_expected_counts_are_those_of_the_hidden_part(data, prior):
    """Summed over the section, hidden counts match shares times the exposure that they are scored with."""
    for seed in range(4):
        view = maker(data, prior, genes_per_view=36).draw(np.random.default_rng(seed))
        expected = (view.count_exposure * view.genes.log_baseline.exp()).sum()
        assert float(view.counts.sum()) == pytest.approx(float(expected), rel=0.03)


def test_a_window_is_a_patch_of_the_section(data, prior):
    view = maker(data, prior, view_locations=30).draw(np.random.default_rng(0))
    assert view.n_locations == 30
    centre = view.points[:, 0]
    assert np.ptp(centre, axis=0).max() <= 700  # of 1,100 µm


def test_empty_locations_are_not_asked(tissue, tmp_path):
    counts = tissue.counts.toarray()
    counts[:20] = 0
    empty = load_sample_data(open_sample(store_tissue(tmp_path / "S1", tissue, counts=counts)))
    view = maker(empty, fit_prior([tissue.for_prior], 3)).draw(np.random.default_rng(0))
    assert view.n_locations == len(tissue.xy_um) - 20


def test_dropping_what_can_be_dropped(data, prior):
    view = maker(data, prior, hide_all_locations=0, drop_image=1, drop_reference=1, drop_platform=1).draw(
        np.random.default_rng(0)
    )
    assert not view.view.nodes.has_image
    assert view.view.states.shape[0] == 0
    assert (view.view.descriptors == 0).all()


def test_a_sample_without_an_image_always_shows_molecules(data, prior):
    blind = maker(without_image(data, 3), prior, hide_all_locations=1)
    for seed in range(5):
        view = blind.draw(np.random.default_rng(seed)).view
        assert float(view.nodes.exposure[0].sum()) > 0


def test_the_same_stream_draws_the_same_view(data, prior):
    first, second = (maker(data, prior).draw(np.random.default_rng([3, 1])) for _ in range(2))
    assert torch.equal(first.counts, second.counts)
    assert torch.equal(first.target_statistics, second.target_statistics)
    assert all(torch.equal(a, b) for a, b in zip(first.view.nodes.statistics, second.view.nodes.statistics))

"""Signals that are taken away or replaced by another place's."""

from __future__ import annotations

import numpy as np
import pytest
from model.training.tiny_cohort import PITCH_UM, grow, store_tissue, write_cells

from focus_cli.core.errors import UsageError
from focus_cli.core.storage import open_sample
from focus_cli.genes.reference import build_reference
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.conditioning.ablation import ablate_reference, ablate_sample, parse_ablations
from focus_cli.model.conditioning.conditions import state_latents
from focus_cli.model.priors import fit_prior


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load_sample_data(open_sample(store_tissue(tmp_path_factory.mktemp("ablation") / "S1", grow())))


def test_nothing_asked_is_nothing_done(data):
    assert ablate_sample(data, {}, 0) is data


def test_without_the_image_its_features_are_zero(data):
    assert data.features(data.xy_um).any()
    assert not ablate_sample(data, {"image": "drop"}, 0).features(data.xy_um).any()


def test_a_shuffled_image_holds_the_same_features_elsewhere(data):
    shuffled = ablate_sample(data, {"image": "shuffle"}, 0)
    own, other = data.location_features, shuffled.location_features
    assert not np.allclose(own, other)
    np.testing.assert_allclose(np.sort(own, axis=0), np.sort(other, axis=0), rtol=1e-5, atol=1e-5)
    again = ablate_sample(data, {"image": "shuffle"}, 0).location_features
    np.testing.assert_array_equal(other, again)


def test_where_tissue_is_stays(data):
    shuffled = ablate_sample(data, {"image": "shuffle"}, 0)
    np.testing.assert_array_equal(shuffled.raster.tissue(data.xy_um), data.raster.tissue(data.xy_um))


def test_a_footprint_is_moved_as_a_whole(data):
    shuffled = ablate_sample(data, {"image": "shuffle"}, 0)
    offset = np.array([20.0, -10.0])
    moved = shuffled.raster.xy_um[shuffled.raster.other]
    np.testing.assert_allclose(
        shuffled.raster.sample(data.xy_um + offset), data.raster.sample(moved + offset), rtol=1e-5, atol=1e-5
    )


def test_alone_a_query_sees_the_location_that_it_lies_in(data):
    pooling = ablate_sample(data, {"spatial": "drop"}, 0).pooling
    index, weight = pooling.neighbours(data.xy_um + 0.2 * PITCH_UM)
    fine = pooling.of_locations
    assert (weight[fine][:, :, 1:] == 0).all() and (np.delete(weight, fine, axis=0) == 0).all()
    for s in fine:
        np.testing.assert_array_equal(index[s, :, 0], np.arange(len(data.xy_um)))
        assert (weight[s, :, 0] > 0).all()


def test_among_strangers_the_own_location_stays(data):
    whole, pooling = data.pooling, ablate_sample(data, {"spatial": "shuffle"}, 0).pooling
    (index, weight), (kept, same) = pooling.neighbours(data.xy_um), whole.neighbours(data.xy_um)
    np.testing.assert_array_equal(weight, same)
    for s in range(len(pooling.levels)):
        if s in pooling.of_locations:
            np.testing.assert_array_equal(index[s, :, 0], kept[s, :, 0])
        assert (index[s, :, 1:] != kept[s, :, 1:]).mean() > 0.5


def test_a_reference_is_taken_from_unmeasured_genes_alone(tmp_path):
    tissue = grow()
    reference = build_reference(write_cells(tmp_path / "cells.h5ad"), tmp_path / "ref", n_states=6)
    prior = fit_prior([tissue.for_prior], 3, reference=reference)
    states = state_latents(reference, prior)
    panel = prior.rows(tissue.names)
    outside = np.setdiff1d(np.arange(len(prior.genes)), panel)
    assert len(outside) and prior.loadings[outside].any()
    dropped, none = ablate_reference(prior, states, tissue.names, {"reference": "drop"}, 0)
    assert not dropped.loadings[outside].any() and len(none) == 0
    shuffled, other = ablate_reference(prior, states, tissue.names, {"reference": "shuffle"}, 0)
    for result in (dropped, shuffled):
        np.testing.assert_array_equal(result.loadings[panel], prior.loadings[panel])
    assert (shuffled.loadings[outside] != prior.loadings[outside]).any()
    np.testing.assert_allclose(np.sort(shuffled.loadings[outside], axis=0), np.sort(prior.loadings[outside], axis=0))
    assert other.shape == states.shape and (other != states).any()


@pytest.mark.parametrize("texts", [["image"], ["colour=drop"], ["image=lose"], ["image=drop", "image=shuffle"]])
def test_what_is_not_understood_is_refused(texts):
    with pytest.raises(UsageError):
        parse_ablations(texts)


def test_what_is_understood():
    assert parse_ablations(["image=drop", "spatial=shuffle"]) == {"image": "drop", "spatial": "shuffle"}

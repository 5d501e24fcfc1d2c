"""Whether tissue is like any in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model.training.tiny_cohort import grow, store_tissue

from focus_cli.core.storage import open_sample
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.conditioning.ood import OodReference, fit_ood_reference, tissue_around


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ood_reference")
    return load_sample_data(open_sample(store_tissue(folder / "S1", grow(side=20))))


@pytest.fixture(scope="module")
def known(data):
    return fit_ood_reference([data])


def test_training_tissue_lies_within_the_border(data, known):
    ood_score = known.score(tissue_around(data, data.xy_um))
    assert ood_score.shape == (400,) and ood_score.dtype == np.float32
    assert np.mean(ood_score > 1) < 0.02


def test_new_tissue_of_the_same_kind_is_no_stranger(known, tmp_path):
    other = load_sample_data(open_sample(store_tissue(tmp_path / "S2", grow(seed=5, side=18), sample_id="S2")))
    assert np.mean(known.score(tissue_around(other, other.xy_um)) > 1) < 0.1


def test_features_that_never_went_together_are_strange(data, known):
    # Each alone is usual; the first two are opposites wherever the tissue is known.
    strange = np.array([[1.2, 1.2, 0.0], [-1.2, -1.2, 0.0]], np.float32)
    usual = np.array([[1.2, -1.2, 0.0], [-1.2, 1.2, 0.0]], np.float32)
    assert known.score(strange).min() > 1 > known.score(usual).max()


def test_strangeness_grows_with_distance(known):
    line = np.linspace(0, 8, 9)[:, None] * np.array([[0.0, 0.0, 1.0]], np.float32)
    ood_score = known.score(line)
    assert (np.diff(ood_score[3:]) > 0).all() and ood_score[-1] > 2


def test_the_unit_of_a_feature_does_not_matter(data, known):
    scaled = replace(data, feature_sd=data.feature_sd * np.float32(2.0))
    ood_score = fit_ood_reference([scaled]).score(tissue_around(scaled, scaled.xy_um))
    np.testing.assert_allclose(ood_score, known.score(tissue_around(data, data.xy_um)), rtol=0.1, atol=0.05)


def test_it_comes_back_from_its_arrays(data, known):
    again = OodReference.of(known.arrays())
    np.testing.assert_array_equal(
        again.score(tissue_around(data, data.xy_um)), known.score(tissue_around(data, data.xy_um))
    )
    with pytest.raises(ValueError, match="do not fit"):
        OodReference.of(known.arrays() | {"centre": known.centre[:2]})


def test_a_handful_of_locations_is_not_enough(data):
    few = replace(data, xy_um=data.xy_um[:6], counts=data.counts[:6])
    assert fit_ood_reference([few]) is None


def test_the_size_of_locations_does_not_decide_what_is_strange(data, known):
    small = replace(data.info, footprint=replace(data.info.footprint, shape="square", size_um=8.0, pitch_um=8.0))
    bins = fit_ood_reference([replace(data, info=small)])
    around = tissue_around(data, data.xy_um)
    np.testing.assert_array_equal(bins.score(around), known.score(around))

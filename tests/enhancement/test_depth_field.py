"""Depth where nothing was measured: what the image and the neighbours say, on the level of the sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model.training.tiny_cohort import grow, store_tissue
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import open_sample
from focus_cli.enhancement.depth import depth_field
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.network import FocusNet, ImageMaps, LinearMap, ModelConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load_sample_data(open_sample(store_tissue(tmp_path_factory.mktemp("depth") / "S1", grow())))


def net(data, weight=(0.0, 0.0, 0.0), level: float = 5.0, foreign=(0.0, 0.0, 0.0), contrast: float = 0.0) -> FocusNet:
    """A network with these maps of depth; its training slides had `contrast` more than this one (natural logarithm)."""
    model = FocusNet(ModelConfig(width=16, layers=1, n_features=3, n_factors=2))
    nothing = LinearMap(np.zeros((2, 3), np.float32), np.zeros(2, np.float32))
    depth, foreign_depth = (np.array(values, np.float32) for values in (weight, foreign))
    model.start_from(ImageMaps(nothing, nothing, depth, foreign_depth, level, data.contrast + contrast))
    return model


def with_depth(data, depth: np.ndarray):
    counts = np.zeros(data.counts.shape, np.float32)
    counts[:, 0] = depth
    return replace(data, counts=sparse.csr_matrix(counts))


def test_measured_locations_keep_what_was_counted(data):
    np.testing.assert_array_equal(depth_field(net(data), data).of_locations(), data.exposure)


def test_without_a_single_count_the_level_is_that_of_training(data):
    blank = with_depth(data, np.zeros(len(data.xy_um)))
    np.testing.assert_allclose(depth_field(net(data, level=5.0), blank).of_locations(), np.exp(5.0), rtol=1e-6)


def test_a_hidden_location_has_the_level_of_the_sample_and_of_its_surroundings(data):
    left = data.xy_um[:, 0] < np.median(data.xy_um[:, 0])
    depth = np.where(left, 400.0, 100.0)
    depth[::7] = 0
    found = depth_field(net(data), with_depth(data, depth)).of_locations()
    inner = (np.abs(data.xy_um[:, 0] - np.median(data.xy_um[:, 0])) > 200) & (depth == 0)
    assert (found[inner & left] > 250).all() and (found[inner & ~left] < 150).all()


def test_far_from_all_that_was_measured_the_image_decides(data):
    features = data.footprint_features(data.xy_um)
    known = np.exp(4 + features @ np.array([0.4, 0.0, 0.0]))
    hidden = data.xy_um[:, 0] > np.quantile(data.xy_um[:, 0], 0.5)
    depth = np.where(hidden, 0, np.rint(known))
    found = depth_field(net(data, (0.4, 0.0, 0.0)), with_depth(data, depth)).of_locations()
    np.testing.assert_allclose(found[hidden], known[hidden], rtol=0.1)


@pytest.mark.parametrize("level", [1e30, np.inf, np.nan])
def test_a_level_that_gives_no_finite_counts_is_refused(data, level):
    with pytest.raises(BadInputError, match="not finite"):
        depth_field(net(data, level=level), with_depth(data, np.zeros(data.counts.shape[0]))).of_locations()


def test_a_slide_with_more_contrast_than_the_training_slides_varies_more_in_depth(data):
    blank = with_depth(data, np.zeros(len(data.xy_um)))
    first = data.location_features[:, 0]
    for contrast in (0.0, -np.log(2)):
        found = np.log(depth_field(net(data, (0.4, 0.0, 0.0), contrast=contrast), blank).of_locations())
        assert np.polyfit(first, found, 1)[0] == pytest.approx(0.4 * np.exp(-contrast), rel=1e-4)


def test_on_foreign_tissue_the_other_map_takes_over(data):
    blank = with_depth(data, np.zeros(len(data.xy_um)))
    model = net(data, (0.4, 0.0, 0.0), foreign=(0.0, 0.2, 0.0))
    for weight in (0.0, 0.25, 1.0):
        found = np.log(depth_field(model, blank, weight).of_locations())
        expected = 5 + data.location_features @ np.array([0.4 * (1 - weight), 0.2 * weight, 0.0])
        np.testing.assert_allclose(found, expected, rtol=1e-5)

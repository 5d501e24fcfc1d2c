"""Depth where nothing was measured: what the image and the neighbours say, on the level of the sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from model.training.tiny_cohort import grow, store_tissue
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import open_sample
from focus_cli.enhancement.depth import depth_field
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.network import FocusNet, ModelConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load_sample_data(open_sample(store_tissue(tmp_path_factory.mktemp("depth") / "S1", grow())))


def net(weight=(0.0, 0.0, 0.0), level: float = 5.0) -> FocusNet:
    model = FocusNet(ModelConfig(width=16, layers=1, n_features=3, n_factors=2))
    model.start_from((torch.zeros(2, 3), torch.zeros(2)), (torch.tensor(weight), level))
    return model


def with_depth(data, depth: np.ndarray):
    counts = np.zeros(data.counts.shape, np.float32)
    counts[:, 0] = depth
    return replace(data, counts=sparse.csr_matrix(counts))


def test_measured_locations_keep_what_was_counted(data):
    np.testing.assert_array_equal(depth_field(net(), data).of_locations(), data.exposure)


def test_without_a_single_count_the_level_is_that_of_training(data):
    blank = with_depth(data, np.zeros(len(data.xy_um)))
    np.testing.assert_allclose(depth_field(net(level=5.0), blank).of_locations(), np.exp(5.0), rtol=1e-6)


def test_a_hidden_location_has_the_level_of_the_sample_and_of_its_surroundings(data):
    left = data.xy_um[:, 0] < np.median(data.xy_um[:, 0])
    depth = np.where(left, 400.0, 100.0)
    depth[::7] = 0
    found = depth_field(net(), with_depth(data, depth)).of_locations()
    inner = (np.abs(data.xy_um[:, 0] - np.median(data.xy_um[:, 0])) > 200) & (depth == 0)
    assert (found[inner & left] > 250).all() and (found[inner & ~left] < 150).all()


def test_far_from_all_that_was_measured_the_image_decides(data):
    features = data.footprint_features(data.xy_um)
    known = np.exp(4 + features @ np.array([0.4, 0.0, 0.0]))
    hidden = data.xy_um[:, 0] > np.quantile(data.xy_um[:, 0], 0.5)
    depth = np.where(hidden, 0, np.rint(known))
    found = depth_field(net((0.4, 0.0, 0.0)), with_depth(data, depth)).of_locations()
    np.testing.assert_allclose(found[hidden], known[hidden], rtol=0.1)


@pytest.mark.parametrize("level", [1e30, np.inf, np.nan])
def test_a_level_that_gives_no_finite_counts_is_refused(data, level):
    with pytest.raises(BadInputError, match="not finite"):
        depth_field(net(level=level), with_depth(data, np.zeros(data.counts.shape[0]))).of_locations()

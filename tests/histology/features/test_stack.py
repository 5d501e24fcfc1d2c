"""Several rasters of one slide, sampled as one."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from focus_cli.core.errors import BadInputError
from focus_cli.histology.features import RasterStack
from focus_cli.histology.features import stack as module

VIT = {"name": "vit", "digest": "0123", "mpp": 2.0, "tile_px": 32, "mean": [0.7, 0.6, 0.7], "std": [0.2, 0.2, 0.2]}
VIT |= {"dim": 5, "grid": 1, "licence": "not stated", "source": "made here"}


def write_raster(path, values, names, *, step_um, encoder=None):
    group = zarr.open_group(store=str(path), mode="w", zarr_format=3)
    group.create_array("features", data=values.astype(np.float16))
    group.create_array("tissue", data=np.ones(values.shape[:2], np.float32))
    group.attrs.update(origin_um=[step_um / 2] * 2, step_um=step_um, names=names, version=1)
    if encoder is not None:
        group.attrs["encoder"] = encoder
    return path


@pytest.fixture
def stack(tmp_path):
    rng = np.random.default_rng(0)
    fine = write_raster(tmp_path / "a.zarr", rng.normal(0, 1, (40, 50, 3)), ["x", "y", "z"], step_um=8.0)
    values = rng.normal(0, 1, (10, 12, 5)) + 10
    values[:, :3] = 0  # the encoder did not look here
    names = [f"vit@0123/{i:04d}" for i in range(5)]
    return RasterStack.open([fine, write_raster(tmp_path / "b.zarr", values, names, step_um=32.0, encoder=VIT)])


@pytest.fixture
def xy():
    return np.random.default_rng(1).uniform(100, 300, (200, 2))


def test_features_of_all_rasters_stand_side_by_side(stack, xy):
    assert stack.names == ["x", "y", "z", *(f"vit@0123/{i:04d}" for i in range(5))]
    assert stack.widths == [3, 5]
    first, second = stack.rasters
    np.testing.assert_array_equal(stack.sample(xy), np.concatenate([first.sample(xy), second.sample(xy)], axis=1))


def test_a_map_sees_every_point_once_whatever_the_pieces(stack, xy, monkeypatch):
    axes = np.random.default_rng(2).normal(0, 1, (8, 4)).astype(np.float32)
    whole = stack.sample(xy, lambda v: v @ axes)
    np.testing.assert_allclose(whole, stack.sample(xy) @ axes, rtol=1e-5)
    monkeypatch.setattr(module, "_VALUES", 8 * 7)
    np.testing.assert_allclose(stack.sample(xy, lambda v: v @ axes), whole, rtol=1e-5)
    np.testing.assert_array_equal(stack.sample(xy), np.concatenate([r.sample(xy) for r in stack.rasters], axis=1))


def test_cells_that_an_encoder_left_out_say_nothing(stack):
    off, edge, on = [20.0, 160.0], [3 * 32.0 + 1.0, 160.0], [200.0, 160.0]
    values = stack.sample(np.array([off, edge, on]))
    assert np.isnan(values[0, 3:]).all() and not np.isnan(values[:, :3]).any()
    # Beside the empty cells only the others count: no blend with zeros.
    assert values[1, 3:].min() > 5 and values[2, 3:].min() > 5


def test_the_rasters_of_a_model_are_chosen_by_their_names(stack):
    assert stack.select(["x", "y", "z"]).widths == [3]
    assert stack.select(stack.names[3:]).widths == [5]
    assert stack.encoder == {**VIT, "step_um": 32.0} and stack.select(["x", "y", "z"]).encoder is None


@pytest.mark.parametrize("names", [["x", "y"], ["y", "x", "z"], ["uni@99/0000"], []])
def test_features_that_are_not_there_are_named(stack, names):
    with pytest.raises(BadInputError, match=r"morphology \(3\) and vit@0123 \(5\)") as error:
        stack.select(names)
    assert "--encoder" in error.value.hint


def test_without_rasters_there_is_no_stack():
    assert RasterStack.open([]) is None

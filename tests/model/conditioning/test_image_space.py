"""The axes on which a model sees image features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import zarr
from model.training.tiny_cohort import grow, store_tissue

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import open_sample
from focus_cli.model.conditioning import image_space as module
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.conditioning.image_space import ImageSpace, fit_axes

WIDE = 12


def add_encoder(folder, seed=0, width=WIDE):
    """An encoder's raster whose features are three waves, each told many times."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(0, 1, (60, 60, 3)) @ np.diag([5.0, 2.0, 1.0])
    values = waves @ np.random.default_rng(77).normal(0, 1, (3, width)) + 20
    group = zarr.open_group(store=str(folder / keys.ENCODER_ZARR), mode="w", zarr_format=3)
    group.create_array("features", data=values.astype(np.float16))
    group.create_array("tissue", data=np.ones((60, 60), np.float32))
    names = [f"vit@0123/{i:04d}" for i in range(width)]
    encoder = {"name": "vit", "digest": "0123", "mpp": 2.0, "tile_px": 32, "mean": [0.7] * 3, "std": [0.2] * 3}
    encoder |= {"dim": width, "grid": 1, "licence": "not stated", "source": "made here"}
    group.attrs.update(origin_um=[0.0, 0.0], step_um=32.0, names=names, version=1, encoder=encoder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = store_tissue(tmp_path_factory.mktemp("space") / "S1", grow(side=16))
    return load_sample_data(open_sample(add_encoder(folder)))


def test_an_encoder_joins_the_built_in_features(data):
    assert data.n_features == 3 + WIDE
    np.testing.assert_allclose(data.features(data.raster.tissue_grid(32.0)).mean(axis=0), 0, atol=0.02)


def test_narrow_features_keep_their_own_axes(data):
    assert fit_axes([data]) is None


def test_a_wide_encoder_is_put_on_its_components(data, monkeypatch):
    monkeypatch.setattr(module, "MAX_AXES", 3)
    axes = fit_axes([data])
    assert axes.shape == (3 + WIDE, 6) and axes.dtype == np.float32
    np.testing.assert_array_equal(axes[:3, :3], np.eye(3))
    assert not axes[:3, 3:].any() and not axes[3:, :3].any()
    seen = replace(data, axes=axes)
    values = seen.location_features[:, 3:]
    spread = (values**2).mean(axis=0)
    assert spread.mean() == pytest.approx(1, rel=0.01) and (np.diff(spread) < 0).all()
    # Three components hold all of three waves: nothing is lost.
    back = values @ np.linalg.pinv(axes[3:, 3:])
    np.testing.assert_allclose(back, data.location_features[:, 3:], atol=0.05)


def test_axes_do_not_depend_on_how_many_times_a_sample_is_given(data, monkeypatch):
    monkeypatch.setattr(module, "MAX_AXES", 3)
    np.testing.assert_allclose(fit_axes([data, data]), fit_axes([data]), rtol=1e-4, atol=1e-6)


def test_a_model_without_the_encoder_reads_a_sample_that_has_it(data):
    seen = ImageSpace(("first", "opposite", "noise")).see(data)
    np.testing.assert_array_equal(seen.features(data.xy_um), data.features(data.xy_um)[:, :3])


def test_features_that_the_model_needs_and_the_sample_lacks_are_refused(data):
    space = ImageSpace(("first", "opposite", "noise", "uni@99/0000"))
    with pytest.raises(BadInputError, match=r"S1: .* not morphology \(3\) and uni@99 \(1\)"):
        space.see(data)

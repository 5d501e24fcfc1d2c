"""Stain augmentation: deterministic, bounded, and what the formula says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus_cli.core.errors import UsageError
from focus_cli.histology.slides.augment import augment_stain
from focus_cli.histology.slides.stain import STAINS, mix, optical_density, unmix


def tile(seed=0, side=64):
    rng = np.random.default_rng(seed)
    return mix(rng.uniform(0.05, 0.6, (side, side, 3)) * [1, 1, 0])


def test_same_generator_same_bytes_and_another_seed_another_colour():
    one, two, three = (augment_stain(tile(), np.random.default_rng(s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one.astype(int) - three).mean() > 1


def test_no_strength_changes_nothing():
    picture = np.random.default_rng(0).integers(0, 256, (50, 50, 3)).astype(np.uint8)
    assert np.abs(augment_stain(picture, np.random.default_rng(0), 0).astype(int) - picture).max() <= 1


def test_it_scales_and_shifts_the_stains():
    picture, strength = tile(), 0.3
    found = augment_stain(picture, np.random.default_rng(7), strength)
    rng = np.random.default_rng(7)
    factor = 1 + strength * rng.uniform(-1, 1, 3)
    shift = 0.1 * strength * rng.uniform(-1, 1, 3)
    expected = mix(np.linalg.solve(STAINS.T, (optical_density(picture).reshape(-1, 3)).T).T * factor + shift)
    assert np.abs(found.reshape(-1, 3).astype(int) - expected).max() <= 1


def test_a_batch_shares_one_draw():
    tiles = np.stack([tile(0), tile(1)])
    together = augment_stain(tiles, np.random.default_rng(1))
    np.testing.assert_array_equal(together[1], augment_stain(tiles[1], np.random.default_rng(1)))


def test_tilt_changes_hues_that_strength_alone_keeps():
    eosin = mix(np.full((4, 4, 3), 0.5) * [0, 1, 0])
    found = optical_density(augment_stain(eosin, np.random.default_rng(0), 0.0, tilt=0.1))
    assert abs(unmix(found)[0, 0, 0]) > 0.01


@given(seed=st.integers(0, 2**32 - 1), strength=st.floats(0, 1), tilt=st.floats(0, 0.2))
def test_any_draw_gives_a_picture_and_leaves_its_input(seed, strength, tilt):
    picture = np.array([[[0, 0, 0], [255, 255, 255], [0, 255, 0], [255, 0, 255]]], np.uint8)
    before = picture.copy()
    found = augment_stain(picture, np.random.default_rng(seed), strength, tilt=tilt)
    np.testing.assert_array_equal(picture, before)
    assert found.dtype == np.uint8
    assert found.shape == picture.shape
    assert found[0, 1].min() > 150, "glass stays pale"


def test_nonsense_is_refused():
    for options in ({"strength": -0.1}, {"strength": 2}, {"tilt": 1}):
        with pytest.raises(UsageError):
            augment_stain(tile(), np.random.default_rng(0), **options)

"""Optical density and colour deconvolution against their formulas and scikit-image."""

import numpy as np
import pytest
from skimage.color import rgb2hed

from focus_cli.histology.slides.stain import STAINS, mix, optical_density, unmix, white_point


def test_density_is_the_logarithm_of_transmission():
    values = np.array([255, 128, 26, 1, 0], np.uint8)
    expected = [0, np.log10(255 / 128), np.log10(255 / 26), np.log10(255), np.log10(255)]
    np.testing.assert_allclose(optical_density(values), expected, rtol=1e-6, atol=1e-7)


def test_unmixing_undoes_mixing():
    amounts = np.random.default_rng(0).uniform(0.05, 0.8, (40, 3))
    amounts[:, 2] = 0
    found = unmix(optical_density(mix(amounts)))
    np.testing.assert_allclose(found, amounts, atol=0.03)  # eight bits


def test_stain_vectors_have_unit_length():
    np.testing.assert_allclose(np.linalg.norm(STAINS, axis=1), 1)


def test_haematoxylin_ranks_as_in_scikit_image():
    rgb = mix(np.random.default_rng(1).uniform(0, 0.6, (30, 30, 3)) * [1, 1, 0])
    ours, theirs = unmix(optical_density(rgb))[..., 0], rgb2hed(rgb)[..., 0]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99


def test_the_white_point_is_the_glass_or_white():
    picture = np.full((50, 50, 3), (180, 60, 150), np.uint8)
    assert white_point(picture).tolist() == [255, 255, 255]  # all stained
    picture[:10] = (232, 225, 230)
    assert white_point(picture) == pytest.approx([232, 225, 230], abs=1)

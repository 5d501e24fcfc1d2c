"""Pixels and µm share one origin and one pair of axes."""

import numpy as np
import pytest

from focus_cli.alignment import bounding_box, image_mpp, inside, px_to_um, um_to_px


def test_there_and_back():
    xy = np.array([[0.0, 0.0], [100.0, 40.0]])
    np.testing.assert_allclose(px_to_um(xy, 0.25), [[0, 0], [25, 10]])
    np.testing.assert_allclose(um_to_px(px_to_um(xy, 0.25), 0.25), xy)


def test_a_reduced_image_has_larger_pixels():
    # A hires thumbnail of 0.2 px per full-resolution pixel.
    mpp = image_mpp(0.5, 0.2)
    assert mpp == pytest.approx(2.5)
    xy_px = np.array([[1000.0, 500.0]])
    np.testing.assert_allclose(um_to_px(px_to_um(xy_px, 0.5), mpp), xy_px * 0.2)


def test_box_and_margin():
    assert bounding_box(np.array([[10.0, 20.0], [30.0, 5.0]]), 2.0) == (8.0, 3.0, 32.0, 22.0)


def test_inside():
    xy = np.array([[0.0, 0.0], [10.0, 5.0], [10.1, 1.0], [1.0, -0.1]])
    assert inside(xy, 10, 5).tolist() == [True, True, False, False]

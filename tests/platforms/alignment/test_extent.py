"""How far locations reach, and whether they lie on a picture."""

import numpy as np

from focus_cli.platforms.alignment import bounding_box, inside


def test_box_and_margin():
    assert bounding_box(np.array([[10.0, 20.0], [30.0, 5.0]]), 2.0) == (8.0, 3.0, 32.0, 22.0)


def test_inside():
    xy = np.array([[0.0, 0.0], [10.0, 5.0], [10.1, 1.0], [1.0, -0.1]])
    assert inside(xy, 10, 5).tolist() == [True, True, False, False]

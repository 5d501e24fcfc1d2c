"""Coordinate systems are linked by transforms, composed and inverted along the links."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus_cli.core.coordinates import Affine, Coordinates, System
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo
from focus_cli.platforms.alignment import fit_array

TURNED = Affine.of([[0.0, -2.0, 30.0], [2.0, 0.0, 5.0]])
XY = np.array([[0.0, 0.0], [10.0, 0.0], [3.0, 7.0]])
numbers = st.floats(-50, 50)


@st.composite
def transforms(draw):
    matrix = np.array([[draw(numbers) for _ in range(3)] for _ in range(2)])
    matrix[:, :2] += np.diag([101.0, 101.0])  # diagonally dominant: can be inverted
    return Affine.of(matrix)


@given(transforms(), transforms())
def test_composition_and_inverse(a, b):
    np.testing.assert_allclose((a @ b)(XY), a(b(XY)), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(a.inverse()(a(XY)), XY, atol=1e-8)


def test_scale_mirror_and_stretch():
    assert TURNED.scale == pytest.approx(2.0) and not TURNED.mirrored and TURNED.anisotropy == pytest.approx(1.0)
    assert Affine.of([[-1, 0, 9], [0, 1, 0]]).mirrored
    assert Affine.of([[1.05, 0, 0], [0, 1, 0]]).anisotropy == pytest.approx(1.05)
    assert Affine.of([[1, 0.05, 0], [0, 1, 0]]).anisotropy > 1.04  # a shear is a stretch along the diagonal
    assert Affine.scaling(0.2).is_scaling() and not TURNED.is_scaling()
    assert not Affine.scaling(1.0, (5.0, 0.0)).is_scaling()


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0], [0, 1]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 2]],
        [[1, 0, np.nan], [0, 1, 0]],
        [[1, 2, 0], [2, 4, 0]],
        [[0, 0, 1], [0, 0, 1]],
    ],
)
def test_what_is_no_transform(matrix):
    with pytest.raises(BadInputError, match="transform"):
        Affine.of(matrix)


def test_links_are_composed_over_several_systems():
    known = Coordinates()
    known.add(System.ARRAY, System.VENDOR, Affine.scaling(100.0, (50.0, 50.0)), "fitted")
    known.add(System.VENDOR, System.FULLRES, TURNED, "alignment.csv")
    known.add(System.FULLRES, System.UM, Affine.scaling(0.5), "0.5 µm per pixel")
    there = known.between(System.ARRAY, System.UM)
    np.testing.assert_allclose(there(XY), 0.5 * TURNED(100 * XY + 50))
    np.testing.assert_allclose(known.between(System.UM, System.ARRAY)(there(XY)), XY, atol=1e-9)
    assert known.between(System.UM, System.UM).is_scaling() and not known.knows(System.IMAGE)
    with pytest.raises(BadInputError, match="no transform leads from"):
        known.between(System.ARRAY, System.IMAGE)
    known.add(System.FULLRES, System.VENDOR, TURNED.inverse(), "again")
    assert len(known.links) == 3 and known.links[-1].origin == "again"


def test_written_and_read_back():
    known = Coordinates()
    known.add(System.FULLRES, System.UM, Affine.scaling(1 / 3), "a third")
    assert Coordinates.from_json(json.loads(json.dumps(known.to_json()))) == known
    for damage in ([{"source": "um"}], [1], [known.to_json()[0] | {"matrix": [[1]]}], {"a": 1}, 3):
        with pytest.raises(BadInputError, match="damaged coordinates"):
            Coordinates.from_json(damage)


def test_sample_json_holds_them_and_older_files_have_none():
    known = Coordinates()
    known.add(System.FULLRES, System.UM, Affine.scaling(0.5), "0.5 µm per pixel")
    info = SampleInfo("S1", PlatformInfo("visium"), 0.5, Footprint("circle", 55.0, 100.0), 4, 4, coordinates=known)
    assert SampleInfo.from_json(info.to_json()) == info
    older = json.loads(info.to_json())
    older.pop("coordinates")
    assert SampleInfo.from_json(json.dumps(older)).coordinates == Coordinates()


def test_the_array_is_fitted_through_misplaced_spots():
    row, column = (a.ravel() for a in np.mgrid[0:12, 0:9])
    truth = Affine.of([[0.3, -20.0, 400.0], [20.0, 0.2, 30.0]])
    xy = truth(np.column_stack([column, row]))
    xy[::9] += (500.0, -300.0)
    fitted, residual = fit_array(row, column, xy)
    np.testing.assert_allclose(fitted.matrix, truth.matrix, atol=0.01)
    assert residual < 0.01
    assert fit_array(row * 0, row * 0, xy) is None  # imaged cells have no array
    assert fit_array(row[:3], column[:3], xy[:3]) is None

"""µm per pixel from the array: exact on a clean one, unmoved by misplaced spots, silent where it must be."""

import numpy as np
import pytest

from focus_cli.core.errors import MissingResourceError
from focus_cli.platforms.pitch import choose_mpp, fit_pitch, hexagonal_um, square_um


def lay(um, mpp, degrees, mirror=False):
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if mirror:
        rotation = rotation @ np.diag([-1, 1])
    return um @ rotation.T / mpp + (1234.5, 77.0)


@pytest.mark.parametrize("degrees", [0, 17, 90, 200])
@pytest.mark.parametrize("mirror", [False, True])
def test_recovers_the_scale_whatever_the_rotation(degrees, mirror):
    row, col = np.divmod(np.arange(200), 20)
    fit = fit_pitch(square_um(row, col, 8.0), lay(square_um(row, col, 8.0), 0.27, degrees, mirror))
    assert fit.mpp == pytest.approx(0.27, rel=1e-6)
    assert fit.mirrored is mirror
    assert fit.anisotropy == pytest.approx(0, abs=1e-6)


def test_neighbours_on_a_hexagonal_array_are_one_pitch_apart():
    um = hexagonal_um(np.array([4, 4, 5, 3]), np.array([10, 12, 11, 11]), 100.0)
    assert np.linalg.norm(um[1:] - um[0], axis=1) == pytest.approx([100, 100, 100])


def test_a_sixth_of_misplaced_spots_does_not_move_it():
    rng = np.random.default_rng(0)
    row, col = np.divmod(np.arange(300), 20)
    um = square_um(row, col, 200.0)
    xy = lay(um, 0.7, 5)
    stray = rng.choice(300, 50, replace=False)
    xy[stray] += rng.uniform(0, 4000, (50, 2))
    assert fit_pitch(um, xy).mpp == pytest.approx(0.7, rel=2e-3)
    # Ordinary least squares would be moved: the test can tell.
    plain = np.linalg.lstsq(np.column_stack([um, np.ones(300)]), xy, rcond=None)[0][:2]
    assert abs(1 / np.sqrt(abs(np.linalg.det(plain))) / 0.7 - 1) > 2e-3


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_spots_say_nothing(n):
    assert fit_pitch(np.zeros((n, 2)), np.zeros((n, 2))) is None


def test_spots_on_one_line_say_nothing():
    um = np.column_stack([np.arange(10) * 100.0, np.zeros(10)])
    assert fit_pitch(um, um) is None


def test_a_stretched_image_is_reported():
    row, col = np.divmod(np.arange(100), 10)
    um = square_um(row, col, 100.0)
    fit = fit_pitch(um, um * (2.0, 2.2))
    assert fit.anisotropy == pytest.approx(0.1)
    assert any("stretched" in w for w in choose_mpp(given=None, vendor=None, fit=fit, where="x")[1])


def test_order_of_trust_and_disagreement():
    row, col = np.divmod(np.arange(100), 10)
    um = square_um(row, col, 100.0)
    fit = fit_pitch(um, um / 0.5)
    assert choose_mpp(given=None, vendor=None, fit=fit, where="x") == (pytest.approx(0.5), [])
    assert choose_mpp(given=None, vendor=0.505, fit=fit, where="x") == (0.505, [])
    mpp, warnings = choose_mpp(given=0.6, vendor=0.5, fit=fit, where="x")
    assert mpp == 0.6
    assert len(warnings) == 2
    with pytest.raises(MissingResourceError, match="µm per pixel is unknown"):
        choose_mpp(given=None, vendor=None, fit=None, where="x")

"""Small shifts: the given place stands, a shifted one is refused with the way back, noise is not."""

import numpy as np
import pytest
from scipy import ndimage
from test_orientation import UM_PER_PX, section

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.alignment import check_shifts, compare_shifts

GIVEN = {"on_tissue": 0.5, "correlation": 0.1}


def compare(xy, counts, nuclei, tissue, pitch=100.0):
    return compare_shifts(xy, counts, nuclei, tissue, um_per_px=UM_PER_PX, pitch_um=pitch)


def test_the_right_place_stands():
    figures = compare(*section())
    assert figures["best_um"] == [0.0, 0.0] and figures["gain"] == 0 and not figures["significant"]
    assert check_shifts(figures, GIVEN) == []


@pytest.mark.parametrize("shift", [(100, 0), (0, -100), (200, 200), (-400, 0), (150, -50)])
@pytest.mark.parametrize("fill", [False, True])
def test_a_shift_is_refused_and_the_way_back_is_named(shift, fill):
    xy, *rest = section(fill=fill)
    figures = compare(xy + shift, *rest)
    assert figures["significant"]
    # A quarter of the spacing is how finely it is stated.
    assert np.abs(np.array(figures["best_um"]) + shift).max() <= 50
    right, down = figures["best_um"]
    with pytest.raises(BadInputError, match="µm") as refusal:
        check_shifts(figures, GIVEN)
    assert f"--shift-um {right:g},{down:g}" in refusal.value.hint
    assert len(check_shifts(figures, GIVEN, force=True)) == 1


@pytest.mark.parametrize("width", [5, 12, 25, 40])
def test_counts_that_ignore_the_nuclei_are_never_refused(width):
    for seed in range(6):
        xy, _, nuclei, tissue = section(fill=True, seed=seed)
        rng = np.random.default_rng(100 + seed)
        field, other = (ndimage.gaussian_filter(rng.normal(size=nuclei.shape), width) for _ in range(2))
        column, row = (xy / UM_PER_PX).astype(int).T
        counts = np.exp(6 + field[row, column] / field.std())
        assert not compare(xy, counts, other - other.min(), tissue)["significant"]


def test_words_for_the_four_sides():
    found = {"significant": True, "on_tissue": 0.9, "correlation": 0.6}
    for shift, words in (((50.0, 0.0), "50 µm to the right:"), ((-50.0, -25.0), "50 µm to the left and 25 µm up:")):
        with pytest.raises(BadInputError, match=words):
            check_shifts(found | {"best_um": list(shift)}, GIVEN)

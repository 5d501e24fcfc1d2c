"""Tiles cover the slide, once, on the grid that was asked for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focus_cli.core.errors import MissingResourceError, UsageError
from focus_cli.histology.slides import tile_slide
from focus_cli.histology.slides.level import Source
from focus_cli.histology.slides.slide import Slide
from focus_cli.histology.slides.tiling import level_for


@dataclass
class Blank:
    """A level without pixels."""

    width: int
    height: int


def slide(width, height, mpp=0.5, factors=(1, 4)):
    return Slide(Path("blank.tif"), Source([Blank(width // f, height // f) for f in factors]), mpp)


@settings(max_examples=80, deadline=None)
@given(
    size=st.tuples(st.integers(16, 3000), st.integers(16, 3000)),
    tile_px=st.integers(8, 512),
    mpp=st.floats(0.2, 8.0),
)
def test_tiles_cover_every_pixel_once(size, tile_px, mpp):
    opened = slide(*size, factors=(1,))
    tiling = tile_slide(opened, tile_px, mpp)
    side = tile_px * level_for(opened, mpp)[1]
    assert side == pytest.approx(tile_px * mpp / 0.5, rel=0.021)
    for axis, length in enumerate(size):
        starts = np.unique(tiling.centres[:, axis]) - side / 2
        assert starts[0] == pytest.approx(0, abs=1e-6)
        np.testing.assert_allclose(np.diff(starts), side)
        assert starts[-1] < length <= starts[-1] + side + 1e-6
    assert len(np.unique(tiling.centres, axis=0)) == len(tiling)
    by_row = np.lexsort((tiling.centres[:, 0], tiling.centres[:, 1]))
    np.testing.assert_array_equal(by_row, np.arange(len(tiling)))


@settings(max_examples=40, deadline=None)
@given(step_px=st.floats(20.0, 700.0), length=st.integers(64, 2000))
def test_a_step_of_ones_own(step_px, length):
    tiling = tile_slide(slide(length, 64, factors=(1,)), 128, 0.5, step_um=step_px * 0.5)
    starts = np.unique(tiling.centres[:, 0]) - 64
    np.testing.assert_allclose(np.diff(starts), step_px)
    assert starts[-1] < length
    if step_px <= 128:  # no gaps: the last tile reaches the edge, and none is there for nothing
        assert starts[-1] + 128 >= length - 1e-6
        assert len(starts) == 1 or starts[-2] + 128 < length + 1e-6


@pytest.mark.parametrize(
    ("mpp", "expected"),
    [(0.5, (0, 1)), (0.505, (0, 1)), (0.492, (0, 1)), (0.55, (0, 1.1)), (1.0, (0, 2)), (2.01, (1, 1)), (4, (1, 2)),
     (0.25, (0, 0.5))],
)  # fmt: skip
def test_the_level_that_tiles_are_made_from(mpp, expected):
    index, ratio = level_for(slide(4000, 4000), mpp)
    assert (index, ratio) == (expected[0], pytest.approx(expected[1]))


def test_a_scale_within_two_hundredths_stays_on_the_files_own_grid():
    tiling = tile_slide(slide(2560, 2560, mpp=0.2525), 256, 0.25)
    assert len(tiling) == 100
    np.testing.assert_array_equal(tiling.centres[:3], [[128, 128], [384, 128], [640, 128]])


def test_only_tiles_with_enough_tissue():
    mask = np.zeros((20, 40), bool)
    mask[:, :15] = True  # tissue over the left 375 of 1000 px
    opened = slide(1000, 500)
    kept = tile_slide(opened, 250, 0.5, mask=mask, min_tissue=0.5)
    assert set(kept.centres[:, 0]) == {125, 375}  # 0-250 is all tissue, 250-500 is half
    assert set(tile_slide(opened, 250, 0.5, mask=mask, min_tissue=0.51).centres[:, 0]) == {125}
    assert set(tile_slide(opened, 250, 0.5, mask=mask, mask_mpp=12.5).centres[:, 0]) == {125, 375}
    assert len(tile_slide(opened, 250, 0.5, mask=np.zeros_like(mask))) == 0
    assert len(tile_slide(opened, 250, 0.5, mask=mask, min_tissue=0)) == 8


def test_what_lies_beyond_the_edge_is_no_tissue():
    opened = slide(300, 200)
    full = np.ones((20, 30), bool)
    np.testing.assert_array_equal(tile_slide(opened, 200, 0.5, mask=full, min_tissue=0.5).centres[:, 0], [100, 300])
    np.testing.assert_array_equal(tile_slide(opened, 200, 0.5, mask=full, min_tissue=0.51).centres[:, 0], [100])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), tile_px=st.integers(10, 90))
def test_the_share_of_tissue_is_an_exact_area(seed, tile_px):
    mask = np.random.default_rng(seed).random((13, 17)) < 0.5
    opened = slide(17 * 10, 13 * 10, factors=(1,))
    share = np.repeat(np.repeat(mask, 10, axis=0), 10, axis=1)
    for threshold in (0.3, 0.5):
        kept = {tuple(c) for c in tile_slide(opened, tile_px, 0.5, mask=mask, min_tissue=threshold).centres}
        for centre in tile_slide(opened, tile_px, 0.5).centres:
            x, y = (centre - tile_px / 2).astype(int)
            inside = share[y : y + tile_px, x : x + tile_px].sum() / tile_px**2
            if abs(inside - threshold) > 1e-9:
                assert (tuple(centre) in kept) == (inside > threshold)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tile_px": 0},
        {"mpp": 0.0},
        {"mpp": float("nan")},
        {"step_um": 0.0},
        {"min_tissue": 1.5},
        {"mask": np.ones((4, 4, 3), bool)},
        {"mask": np.ones((10, 10), bool), "mask_mpp": 3.0},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    options = {"tile_px": 256, "mpp": 0.5, **wrong}
    with pytest.raises(UsageError):
        tile_slide(slide(1000, 1000), **options)


def test_a_slide_without_scale_has_no_tiles():
    with pytest.raises(MissingResourceError, match="scale"):
        tile_slide(slide(100, 100, mpp=None), 256, 0.5)

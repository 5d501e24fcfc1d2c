"""The eight orientations: the right passes, wrong ones are refused where there is signal, noise is not."""

import re

import numpy as np
import pytest
from scipy import ndimage

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.platforms.alignment import (
    ORIENTATIONS,
    check_orientation,
    compare_orientations,
    named_orientation,
    orientation_frame,
    orientation_transform,
    reorient,
)

UM_PER_PX = 10.0
INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)  # the two quarter turns undo each other, the others themselves

# The same eight, done to an image: index k undoes what `reorient` k does to positions.
TURN = (
    lambda a: a,
    lambda a: a[:, ::-1],
    lambda a: a[::-1],
    lambda a: a[::-1, ::-1],
    lambda a: a.T,
    lambda a: np.rot90(a, -1),
    lambda a: np.rot90(a, 1),
    lambda a: a[::-1, ::-1].T,
)


def section(*, pitch=100.0, signal=1.0, fill=False, seed=0):
    """Tissue of no symmetry on an oblong image, and locations with counts that follow its nuclei."""
    rng = np.random.default_rng(seed)
    height, width = 300, 240
    y, x = np.mgrid[0:height, 0:width]
    tissue = ((x - 90) / 70) ** 2 + ((y - 130) / 110) ** 2 < 1
    tissue |= ((x - 150) / 60) ** 2 + ((y - 80) / 35) ** 2 < 1
    if fill:
        tissue = np.ones_like(tissue)
    nuclei = ndimage.gaussian_filter(rng.random((height, width)), 8)
    nuclei = (nuclei - nuclei.min()) / np.ptp(nuclei) * tissue
    grid = np.arange(pitch / 2, height * UM_PER_PX, pitch)
    xy = np.column_stack([a.ravel() for a in np.meshgrid(grid, grid)])
    xy = xy[(xy[:, 0] < width * UM_PER_PX)]
    column, row = (xy / UM_PER_PX).astype(int).T
    on = tissue[row, column]
    xy, level = xy[on], nuclei[row, column][on]
    counts = rng.poisson(3000 * (pitch / 100) ** 2 * np.exp(2 * signal * level))
    return xy, counts, nuclei, tissue


def check(xy, counts, nuclei, tissue, pitch=100.0, **options):
    return check_orientation(xy, counts, nuclei, tissue, um_per_px=UM_PER_PX, pitch_um=pitch, **options)


def test_reorient_keeps_distances_and_undoes_the_turn_of_the_image():
    raster = np.arange(35.0).reshape(5, 7)
    row, col = np.divmod(np.arange(35), 7)
    xy = np.column_stack([col, row]) + 0.5  # pixel centres
    for k, turn in enumerate(TURN):
        turned = turn(raster)
        place = reorient(xy, turned.shape[1], turned.shape[0], k)
        at = turned[tuple((place[:, ::-1] - 0.5).round().astype(int).T)]
        np.testing.assert_array_equal(at, raster.ravel(), err_msg=ORIENTATIONS[k])


def test_the_inverse_of_each_and_their_names():
    xy = np.array([[1.0, 2.0], [30.0, 4.0], [7.0, 50.0]])
    for k, back in enumerate(INVERSE):
        frame = (60.0, 80.0) if k < 4 else (80.0, 60.0)  # of the turned picture
        there = orientation_transform(*frame, k)
        np.testing.assert_allclose(orientation_transform(60.0, 80.0, back)(there(xy)), xy)
        assert there.scale == 1.0 and there.mirrored == (k in (1, 2, 4, 7))
        assert named_orientation(ORIENTATIONS[k].upper().replace(" ", "-")) == k
    with pytest.raises(UsageError, match="--orient 'sideways' is unknown") as refusal:
        named_orientation("sideways")
    assert "flipped left-right" in refusal.value.hint


def bring_back(hint, xy, counts, nuclei, tissue, **options):
    """Apply the option that a hint names, as `focus preprocess` does."""
    index = named_orientation(re.search(r'--orient "([^"]+)"', hint)[1])
    return reorient(xy, *orientation_frame(xy, counts, nuclei, tissue, index, **options), index)


def test_right_orientation_passes_with_its_figures():
    figures, warnings = check(*section())
    assert warnings == []
    assert figures["best_orientation"] == "as given"
    assert figures["on_tissue"] > 0.9 and figures["correlation"] > 0.5 and figures["outside_image"] == 0
    assert [o["orientation"] for o in figures["orientations"]] == list(ORIENTATIONS)


@pytest.mark.parametrize("k", range(1, 8))
@pytest.mark.parametrize("fill", [False, True])
def test_a_turned_image_is_refused_and_the_way_back_is_named(k, fill):
    xy, counts, nuclei, tissue = section(fill=fill)
    with pytest.raises(BadInputError, match=f"better {ORIENTATIONS[k]}:") as refusal:
        check(xy, counts, TURN[k](nuclei), TURN[k](tissue))
    assert "--force" in refusal.value.hint
    _, warnings = check(xy, counts, TURN[k](nuclei), TURN[k](tissue), force=True)
    assert len(warnings) == 1 and "forced" in warnings[0]


@pytest.mark.parametrize("k", range(1, 8))
def test_turned_positions_are_refused(k):
    xy, counts, nuclei, tissue = section()
    height, width = nuclei.shape
    with pytest.raises(BadInputError, match="locations"):
        check(reorient(xy, width * UM_PER_PX, height * UM_PER_PX, k), counts, nuclei, tissue)


@pytest.mark.parametrize("seed", range(12))
def test_counts_without_signal_are_never_refused(seed):
    # Tissue fills the image and counts ignore the nuclei: there is nothing to know, so nothing is claimed.
    xy, counts, nuclei, tissue = section(signal=0.0, fill=True, seed=seed)
    check(xy, counts, nuclei, tissue)


@pytest.mark.parametrize("seed", range(20))
def test_smooth_noise_is_never_refused(seed):
    # Smooth on both sides: chance correlations are large here, and the blocks must own up to it.
    xy, _, nuclei, tissue = section(fill=True, seed=seed)
    rng = np.random.default_rng(100 + seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=nuclei.shape), 25)
    other = ndimage.gaussian_filter(rng.normal(size=nuclei.shape), 25)
    column, row = (xy / UM_PER_PX).astype(int).T
    level = smooth[row, column] / smooth.std()
    check(xy, np.exp(6 + level), other - other.min(), tissue)


def test_fine_bins_are_pooled():
    # One molecule a bin: bin by bin the correlation drowns, in squares of 100 µm it stands.
    xy, counts, nuclei, tissue = section(pitch=20.0, fill=True)
    counts = np.random.default_rng(0).poisson(counts / counts.mean())
    agreement = compare_orientations(xy, counts, nuclei, tissue, um_per_px=UM_PER_PX, pitch_um=20.0)
    alone = compare_orientations(xy, counts, nuclei, tissue, um_per_px=UM_PER_PX, pitch_um=100.0)
    assert agreement[0].correlation > 0.6 > alone[0].correlation
    assert all(a.gain < 0 for a in agreement[1:])


def test_an_image_too_small_is_named_so():
    xy, counts, nuclei, tissue = section()
    with pytest.raises(BadInputError, match="outside the image") as refusal:
        check(xy, counts, nuclei[:100, :80], tissue[:100, :80])
    assert "full-resolution" in refusal.value.hint


def test_no_tissue_and_no_spot_on_tissue():
    xy, counts, nuclei, tissue = section(fill=True)
    with pytest.raises(BadInputError, match="no tissue was found"):
        check(xy, counts, np.zeros_like(nuclei), np.zeros_like(tissue))
    corner = np.zeros_like(tissue)
    corner[140:160, 110:130] = True  # the centre stays the centre in every orientation
    away = np.all(np.abs(xy / UM_PER_PX - (120, 150)) > 20, axis=1)
    with pytest.raises(BadInputError, match="no spot on tissue"):
        check(xy[away], counts[away], np.zeros_like(nuclei), corner)


def test_the_same_twice():
    data = section()
    assert check(*data) == check(*data)


class TestRealSections:
    """Every real section passes as it is; every one of the seven wrong orientations is caught on each."""

    pytestmark = pytest.mark.realdata

    @pytest.fixture(scope="class", params=["C2", "C3", "C4", "C5", "kidney"])
    def real(self, request, focus_data):
        from focus_cli.histology.slides import open_slide, tissue_mask
        from focus_cli.histology.slides.stain import optical_density, unmix
        from focus_cli.platforms import read

        name = request.param
        sample = read(focus_data / ("visium_hd_kidney" if name == "kidney" else f"st_her2_breast/{name}"))
        with open_slide(sample.image_path, mpp=sample.mpp) as slide:
            rgb = slide.thumbnail(1200)
            um_per_px = sample.mpp * slide.width / rgb.shape[1]
        counts = np.asarray(sample.adata.X.sum(axis=1)).ravel()
        nuclei, tissue = unmix(optical_density(rgb))[..., 0], tissue_mask(rgb, um_per_px)
        options = {"um_per_px": um_per_px, "pitch_um": sample.footprint.pitch_um}
        return sample.adata.obsm["spatial_um"], counts, nuclei, tissue, options

    def test_passes_as_it_is_with_a_wide_margin(self, real):
        xy, counts, nuclei, tissue, options = real
        figures, warnings = check_orientation(xy, counts, nuclei, tissue, **options)
        assert warnings == []
        assert figures["correlation"] > 0.5
        assert max(o["gain"] for o in figures["orientations"][1:]) < -0.2

    def test_the_way_back_is_named_for_every_turned_image(self, real):
        xy, counts, nuclei, tissue, options = real
        um, right = options["um_per_px"], 0
        height, width = (side * um for side in nuclei.shape)
        for k in range(1, 8):
            turned = TURN[k](nuclei)
            # Where the turned picture has what lay under a location: the turn of the image, done to positions.
            truth = reorient(xy, *((width, height) if k < 4 else (height, width)), k)
            with pytest.raises(BadInputError, match="locations fit the image better") as refusal:
                check_orientation(xy, counts, turned, TURN[k](tissue), **options)
            found = bring_back(refusal.value.hint, xy, counts, turned, TURN[k](tissue), **options)
            right += np.allclose(found, truth)
        assert right == 7

    def test_the_way_back_is_named_for_turned_positions(self, real):
        xy, counts, nuclei, tissue, options = real
        um, right = options["um_per_px"], 0
        height, width = (side * um for side in nuclei.shape)
        for k in range(1, 8):
            turned = reorient(xy, width, height, k)
            with pytest.raises(BadInputError, match="locations fit the image better") as refusal:
                check_orientation(turned, counts, nuclei, tissue, **options)
            right += np.allclose(bring_back(refusal.value.hint, turned, counts, nuclei, tissue, **options), xy)
        assert right == 7

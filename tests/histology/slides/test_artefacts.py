"""Pen marks and folds put on a section are found, and next to nothing is taken for them."""

import numpy as np
import pytest
from scipy import ndimage

from focus_cli.core.errors import UsageError
from focus_cli.histology.slides import open_slide
from focus_cli.histology.slides.artefacts import clean_tissue, fold_mask, pen_mask, tissue_and_artefacts
from focus_cli.histology.slides.stain import mix, optical_density
from focus_cli.histology.slides.tissue import tissue_mask

MPP = 4.0
INKS = {
    "blue": (40, 60, 190),
    "navy": (30, 40, 120),
    "cyan": (40, 150, 190),
    "green": (30, 140, 70),
    "black": (40, 40, 45),
    "red": (200, 30, 50),
}


def section(side=500, seed=0):
    """A round section of 1.6 mm with nuclei, on glass, and where its tissue is."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    tissue = np.hypot(y - side / 2, x - side / 2) < 0.4 * side
    amounts = np.zeros((side, side, 3))
    amounts[..., 1] = 0.3 + 0.06 * rng.standard_normal((side, side))
    amounts[..., 0] = 0.1 + 0.6 * (rng.random((side, side)) < 0.3)
    return mix(np.clip(amounts, 0, None) * tissue[..., None]), tissue


def stroke(shape, width_um=200):
    y, x = np.mgrid[: shape[0], : shape[1]] * MPP
    return abs(y - 0.8 * x - 200 - 40 * np.sin(x / 300)) < width_um / 2


def drawn(rgb, where, ink):
    """Ink over a picture: it hides half of what lies under it and adds its own density."""
    soft = ndimage.gaussian_filter(where.astype(float), 1)[..., None]
    density = optical_density(rgb) * (1 - 0.5 * soft) + 0.85 * soft * optical_density(np.array(ink, np.uint8))
    return np.clip(np.rint(255 * 10**-density), 0, 255).astype(np.uint8)


def folded(rgb, tissue, width_um=90):
    """A streak where the tissue lies double."""
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] * MPP
    band = (abs(y - 0.5 * x - 500) < width_um / 2) & (abs(x - 1000) < 400) & tissue
    other = np.roll(optical_density(rgb), 30, axis=0)
    density = optical_density(rgb) + np.where(band[..., None], other, 0)
    return np.clip(np.rint(255 * 10**-density), 0, 255).astype(np.uint8), band


@pytest.mark.parametrize("ink", INKS)
def test_ink_of_every_colour_is_found_on_glass_and_on_tissue(ink):
    rgb, tissue = section()
    where = stroke(tissue.shape)
    found = pen_mask(drawn(rgb, where, INKS[ink]), MPP)
    assert found[where & ~tissue].mean() > 0.8
    # Over tissue red ink is hardly another colour than eosin.
    assert ink == "red" or found[where & tissue].mean() > 0.6
    assert found[~ndimage.binary_dilation(where, iterations=10)].mean() == 0


def test_a_clean_section_has_no_artefact():
    rgb, truth = section()
    tissue, pen, fold = tissue_and_artefacts(rgb, MPP)
    assert not pen.any()
    assert fold.mean() < 0.002
    assert (tissue & truth).sum() / (tissue | truth).sum() > 0.95


def test_a_fold_is_found():
    rgb, tissue = section()
    rgb, band = folded(rgb, tissue)
    found = fold_mask(rgb, MPP, tissue_mask(rgb, MPP))
    assert found[ndimage.binary_erosion(band, iterations=3)].mean() > 0.8
    assert found[tissue & ~ndimage.binary_dilation(band, iterations=12)].mean() < 0.002


def test_clean_tissue_leaves_ink_and_folds_out():
    rgb, tissue = section()
    rgb, band = folded(rgb, tissue)
    where = stroke(tissue.shape)
    clean = clean_tissue(drawn(rgb, where, INKS["green"]), MPP)
    assert clean[where].mean() < 0.1
    assert clean[ndimage.binary_erosion(band, iterations=3)].mean() < 0.3
    assert clean[tissue & ~ndimage.binary_dilation(where | band, iterations=12)].mean() > 0.98


def test_the_scale_of_the_thumbnail_hardly_matters():
    rgb, tissue = section()
    rgb = drawn(rgb, stroke(tissue.shape), INKS["green"])
    halved = np.rint(rgb.reshape(250, 2, 250, 2, 3).mean(axis=(1, 3))).astype(np.uint8)
    fine, coarse = pen_mask(rgb, MPP), pen_mask(halved, 2 * MPP).repeat(2, axis=0).repeat(2, axis=1)
    assert (fine != coarse).mean() < 0.01


@pytest.mark.parametrize("shape", [(3, 5), (37, 61), (1, 40)])
def test_pictures_of_any_shape(shape):
    rgb = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    for mpp in (1.0, 3.0, 8.0, 50.0):
        tissue, pen, fold = tissue_and_artefacts(rgb, mpp)
        assert tissue.shape == pen.shape == fold.shape == shape


def test_the_scale_must_be_positive():
    with pytest.raises(UsageError):
        pen_mask(section()[0], -1)


@pytest.mark.realdata
def test_real_sections_have_no_ink_and_ink_on_them_is_found(focus_data):
    breast = next((focus_data / "st_her2_breast" / "ST-imgs" / "C" / "C4").glob("*.jpg"))
    cases = [(focus_data / "visium_hd_kidney" / "tissue_image.jpg", 2.0056), (breast, 0.688)]
    for path, mpp in cases:
        with open_slide(path, mpp) as slide:
            rgb = slide.read(0, 0, slide.width, slide.height, 8.0)
        tissue, pen, fold = tissue_and_artefacts(rgb, 8.0)
        assert not pen.any()
        assert fold.sum() < 0.025 * tissue.sum()
        y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] * 8.0
        where = abs(y - x - 200) < 100
        for ink in ("blue", "green", "cyan"):
            assert pen_mask(drawn(rgb, where, INKS[ink]), 8.0)[where].mean() > 0.75

"""Tissue is found by its stain, with and without background; other pictures are told from an H&E."""

import numpy as np
import pytest

from focus_cli.core.errors import UsageError
from focus_cli.histology.slides import is_histology, open_slide, tissue_mask
from focus_cli.histology.slides.stain import mix

MPP = 8.0


def stained(h, w, seed=0):
    """Tissue with nuclei: eosin everywhere, haematoxylin here and there."""
    rng = np.random.default_rng(seed)
    amounts = np.zeros((h, w, 3))
    amounts[..., 1] = rng.uniform(0.2, 0.4, (h, w))
    amounts[..., 0] = rng.uniform(0.1, 0.6, (h, w)) * (rng.random((h, w)) < 0.5)
    return mix(amounts)


def section(glass=(240, 240, 240)):
    """A disc of tissue on glass, with its truth."""
    y, x = np.mgrid[:200, :260]
    truth = (y - 100) ** 2 + (x - 120) ** 2 < 70**2
    rgb = np.where(truth[..., None], stained(200, 260) / 255 * glass, glass).astype(np.uint8)
    return rgb, truth


@pytest.mark.parametrize("glass", [(255, 255, 255), (232, 215, 228), (145, 147, 138)])
def test_a_section_on_glass_of_any_tint(glass):
    rgb, truth = section(glass)
    mask = tissue_mask(rgb, MPP)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.93


def test_tissue_without_background_stays_whole():
    assert tissue_mask(stained(150, 150), MPP).mean() > 0.99


def test_glass_alone_has_no_tissue():
    glass = np.random.default_rng(0).integers(238, 246, (150, 150, 1)).repeat(3, axis=2).astype(np.uint8)
    assert not tissue_mask(glass, MPP).any()
    assert not tissue_mask(np.full((20, 20, 3), 255, np.uint8), MPP).any()


def test_dust_is_dropped_and_small_holes_are_closed_by_physical_size():
    rgb, truth = section()
    rgb[20:28, 200:208] = (150, 60, 140)  # 64 µm: dust
    rgb[95:103, 115:123] = 240  # 64 µm: a vessel
    rgb[60:95, 130:165] = 240  # 280 µm: a hole
    mask = tissue_mask(rgb, MPP)
    assert not mask[15:33, 195:213].any()
    assert mask[95:103, 115:123].all()
    assert not mask[70:85, 140:155].any()
    assert (mask & ~truth).mean() < 0.02


def test_grey_marks_are_not_tissue():
    rgb, _ = section()
    rgb[10:40, 200:250] = 60  # a pencil mark
    assert not tissue_mask(rgb, MPP)[10:40, 200:250].any()


def test_turning_the_picture_turns_the_mask():
    rgb, _ = section()
    mask = tissue_mask(rgb, MPP)
    assert (np.rot90(mask) != tissue_mask(np.rot90(rgb), MPP)).mean() < 1e-3


def test_the_scale_must_be_positive():
    with pytest.raises(UsageError):
        tissue_mask(section()[0], 0)


def test_an_he_is_recognised():
    good, figures = is_histology(section()[0])
    assert good
    assert figures.reason == ""
    assert figures.stain_hue > 0.95


def fluorescence():
    rgb = np.zeros((100, 100, 3), np.uint8)
    rgb[..., 2] = np.random.default_rng(0).integers(0, 90, (100, 100))
    return rgb


def overlay():
    rgb, _ = section()
    rgb[::6] = (255, 0, 0)
    return rgb


PICTURES = {
    "grey": (section()[0].mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8), "grey"),
    "blank": (np.full((80, 80, 3), 255, np.uint8), "blank"),
    "fluorescence": (fluorescence(), "dark"),
    "overlay": (overlay(), "screen colours"),
    "brown": (np.full((80, 80, 3), (160, 110, 60), np.uint8), "colours are not"),
    "green": (np.full((80, 80, 3), (90, 160, 100), np.uint8), "colours are not"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_other_pictures_are_not_histology(name):
    picture, reason = PICTURES[name]
    good, figures = is_histology(picture)
    assert not good
    assert reason in figures.reason


@pytest.mark.realdata
def test_real_sections(focus_data):
    # The kidney fills its image; a breast section lies on glass, covering about a sixth of it.
    breast = focus_data / "st_her2_breast" / "ST-imgs" / "C"
    cases = [(focus_data / "visium_hd_kidney" / "tissue_image.jpg", 2.0056, 0.97, 1.0)]
    cases += [(next((breast / name).glob("*.jpg")), 0.735, 0.12, 0.22) for name in ("C2", "C4")]
    for path, mpp, low, high in cases:
        with open_slide(path, mpp) as slide:
            picture = slide.thumbnail(900)
        assert low < tissue_mask(picture, mpp * slide.width / picture.shape[1]).mean() <= high
        assert is_histology(picture)[0]


@pytest.mark.realdata
def test_real_breast_spots_lie_on_tissue(focus_data):
    import pandas as pd

    folder = focus_data / "st_her2_breast"
    spots = pd.read_csv(folder / "ST-spotfiles" / "C3_selection.tsv", sep="\t")
    with open_slide(next((folder / "ST-imgs" / "C" / "C3").glob("*.jpg")), 0.735) as slide:
        picture = slide.thumbnail(1000)
    scale = slide.width / picture.shape[1]
    mask = tissue_mask(picture, 0.735 * scale)
    assert mask[(spots.pixel_y // scale).astype(int), (spots.pixel_x // scale).astype(int)].mean() > 0.9


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["aligned_fiducials.jpg", "detected_tissue_image.jpg"])
def test_real_overlays_are_not_histology(focus_data, name):
    with open_slide(focus_data / "native" / "visium_v2" / "spatial" / name) as slide:
        assert not is_histology(slide.thumbnail(1000))[0]

"""A background that was painted black or grey is read as glass; what is dark beside its signal stays no H&E."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from focus_cli.histology.slides import is_histology, iterate_tiles, open_slide, tile_slide, tissue_mask
from focus_cli.histology.slides.histology import find_paint
from focus_cli.histology.slides.stain import mix


def section(side=400, seed=0):
    """A round section on glass, and where it lies."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    tissue = np.hypot(x, y) < 0.35 * side
    amounts = np.zeros((side, side, 3))
    amounts[..., 1] = np.where(tissue, 0.2 + 0.1 * rng.random((side, side)), 0.01)
    amounts[tissue & (rng.random((side, side)) < 0.2), 0] = 0.5
    return mix(amounts), tissue


HE, TISSUE = section()
OUTSIDE = ~ndimage.binary_dilation(TISSUE, iterations=4)


def painted(value, he=HE, outside=OUTSIDE):
    return np.where(outside[..., None], np.uint8(value), he)


def as_jpeg(rgb):
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=85)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize("value", [0, 8, 40, 128, 190])
@pytest.mark.parametrize("stored", [np.asarray, as_jpeg], ids=["exact", "JPEG"])
def test_an_he_with_painted_background_is_an_he(value, stored):
    picture = stored(painted(value))
    assert is_histology(picture)[0]
    paint = find_paint(picture)
    assert abs(paint.value - value) <= 1
    assert paint.share == pytest.approx(OUTSIDE.mean(), abs=0.02)
    found = tissue_mask(paint.removed(picture), 4.0)
    both, either = (found & TISSUE).sum(), (found | TISSUE).sum()
    assert both / either > 0.93


@pytest.mark.parametrize("picture", [HE, painted(255), painted(230), as_jpeg(HE)])
def test_glass_is_no_paint(picture):
    assert is_histology(picture)[0]
    assert find_paint(picture) is None


def fluorescent(colours, seed=0, gain=1.0):
    """Nuclei on black, one stain for each row of display colours."""
    rng = np.random.default_rng(seed)
    out = np.zeros((300, 300, 3))
    for colour in colours:
        spots = ndimage.gaussian_filter((rng.random((300, 300)) < 0.01).astype(float), 3)
        out += (spots / spots.max())[..., None] * np.array(colour)
    return np.clip(255 * gain * out, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("gain", [0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize(
    "colours",
    [[(0, 0, 1)], [(1, 1, 1)], [(0.3, 0.3, 1)], [(1, 0, 1)], [(0, 0, 1), (1, 0, 0), (0, 1, 0)]],
    ids=["blue", "grey", "pale blue", "magenta", "three stains"],
)
def test_fluorescence_stays_refused(colours, gain):
    picture = fluorescent(colours, gain=gain)
    assert find_paint(picture) is None
    assert not is_histology(picture)[0]


def test_grey_brightfield_with_black_background_stays_refused():
    grey = np.repeat(HE[..., 1:2], 3, axis=2)
    assert find_paint(painted(0, grey)) is None
    assert not is_histology(painted(0, grey))[0]


@pytest.mark.parametrize("kind", ["png", "tif", "alpha.png", "alpha.tif"])
def test_whatever_reads_the_slide_sees_glass(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    alpha = np.dstack([painted(0), np.where(OUTSIDE, 0, 255).astype(np.uint8)])
    if kind == "png":
        Image.fromarray(painted(0)).save(path)
    elif kind == "tif":
        tifffile.imwrite(path, painted(0), photometric="rgb", tile=(64, 64))
    elif kind == "alpha.png":
        Image.fromarray(alpha).save(path)
    else:
        tifffile.imwrite(path, alpha, photometric="rgb", tile=(64, 64), extrasamples=["unassalpha"])
    with open_slide(path, 4.0) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 400, 400), painted(255))
        np.testing.assert_array_equal(slide.thumbnail(400), painted(255))
        tiles = [batch.pixels for batch in iterate_tiles(slide, tile_slide(slide, 64, 4.0))]
        np.testing.assert_array_equal(np.concatenate(tiles)[0], painted(255)[:64, :64])
        said = "" if kind.startswith("alpha") else "the background of a.png is painted black".replace("png", kind)
        assert said in " ".join(slide.notes)
        assert bool(said) == bool(slide.notes)


@pytest.mark.realdata
@pytest.mark.parametrize("value", [0, 128])
@pytest.mark.parametrize(
    ("image", "um"),
    [
        ("st_her2_breast/ST-imgs/C/C2/5714_HE_BT_C2.jpg", 8.5),
        ("sections/visium_colon/tissue_image.jpg", 7.2),
        ("wsi/cmu_small_region.svs", 1.9),
    ],
)
def test_real_sections_with_painted_background(focus_data, image, um, value):
    with open_slide(focus_data / image) as slide:
        assert slide.paint is None
        original = slide.thumbnail(800)
    mask = tissue_mask(original, um)
    picture = as_jpeg(painted(value, original, ~ndimage.binary_dilation(mask, iterations=2)))
    assert is_histology(picture)[0]
    found = tissue_mask(find_paint(picture).removed(picture), um)
    assert (found & mask).sum() / (found | mask).sum() > 0.93

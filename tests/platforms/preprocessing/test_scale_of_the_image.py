"""An H&E at another scale than the positions mean: used at the scale it states, or both scales are named."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from raw_folders import write_visium

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.preprocessing import preprocess


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A section without thumbnails, so that nothing but the picture states its scale."""
    raw = write_visium(tmp_path_factory.mktemp("raw") / "S")
    for path in (raw.path / "spatial").glob("*.png"):
        path.unlink()
    return raw


def copy(raw, path, factor, *, states=None, crop=None):
    """A copy of the H&E at `factor` of its size; `states`: µm per pixel in a TIFF."""
    with Image.open(raw.path / "tissue_image.png") as image:
        if crop:
            image = image.crop(crop(image))
        image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BOX)
        rgb = np.asarray(image.convert("RGB"))
    if path.suffix == ".png":
        Image.fromarray(rgb).save(path)
        return path
    per_cm = None if states is None else (1e4 / states, 1e4 / states)
    tifffile.imwrite(path, rgb, photometric="rgb", resolution=per_cm, resolutionunit="CENTIMETER", tile=(256, 256))
    return path


def run(raw, tmp_path, image, **options):
    return preprocess(raw.path, tmp_path / "out", "S1", image=image, step_um=25.0, **options)


@pytest.mark.parametrize("factor", [0.5, 0.25, 0.8, 2.0, 1.25])
def test_a_copy_that_states_its_scale_is_used_at_it(raw, tmp_path, factor):
    image = copy(raw, tmp_path / "copy.tif", factor, states=raw.mpp / factor)
    stored = run(raw, tmp_path, image)
    assert stored.info.image.scale == pytest.approx(factor, rel=0.01)
    assert stored.info.image.mpp == pytest.approx(raw.mpp / factor, rel=0.01)
    note = next(w for w in stored.info.warnings if "copy.tif states" in w)
    assert f"{raw.mpp / factor:.4g}" in note and f"{raw.mpp:.4g}" in note
    assert stored.info.alignment["on_tissue"] > 0.9
    np.testing.assert_allclose(stored.read().obsm["spatial_um"], stored.read().obsm["spatial"] * raw.mpp)


@pytest.mark.parametrize("factor", [0.5, 0.3, 2.0, 1.5])
def test_a_copy_that_states_nothing_is_refused_with_its_scale_not_with_a_turn(raw, tmp_path, factor):
    image = copy(raw, tmp_path / "copy.png", factor)
    with pytest.raises(BadInputError) as refusal:
        run(raw, tmp_path, image)
    error = refusal.value
    assert "--orient" not in error.message + error.hint and "\n" not in error.message
    assert f"has {raw.mpp:.4g} µm per pixel" in error.message
    found = float(error.message.split("fit it at ")[1].split(" µm")[0])
    assert found == pytest.approx(raw.mpp / factor, rel=0.04)
    assert not (tmp_path / "out").exists()


def test_a_wrong_statement_beside_a_true_scale_is_not_followed(raw, tmp_path):
    image = copy(raw, tmp_path / "same.tif", 1.0, states=raw.mpp / 2)
    stored = run(raw, tmp_path, image)
    assert stored.info.image.scale == 1.0
    assert any("states 1 µm per pixel, the positions imply 2" in w for w in stored.info.warnings)


def test_where_neither_scale_fits_both_are_named(raw, tmp_path):
    half = copy(raw, tmp_path / "part.tif", 1.0, states=raw.mpp * 3, crop=lambda im: (0, 0, im.width // 2, im.height))
    with pytest.raises(BadInputError) as refusal:
        run(raw, tmp_path, half)
    assert "has 2 µm per pixel, the file states 6" in refusal.value.message
    assert "--orient" not in refusal.value.hint


def test_a_turn_at_the_right_scale_is_still_a_turn(raw, tmp_path):
    with Image.open(raw.path / "tissue_image.png") as image:
        image.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "turned.png")
    with pytest.raises(BadInputError, match="better rotated by 180 degrees"):
        run(raw, tmp_path, tmp_path / "turned.png")

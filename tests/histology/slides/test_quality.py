"""Tiles are told to be empty, inked or out of focus; sharpness means the same at every scale."""

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from focus_cli.core.errors import UsageError
from focus_cli.histology.slides import open_slide
from focus_cli.histology.slides.describe import describe_slide, is_slide_file
from focus_cli.histology.slides.quality import clean_tissue, slide_quality, tile_quality
from focus_cli.histology.slides.sharpness import OUT_OF_FOCUS, sharpness
from focus_cli.histology.slides.stain import mix


def tissue(side_px, mpp, seed=0, blur_um=0.5):
    """Nuclei of 6 µm and fine chromatin, drawn at 0.25 µm and averaged to `mpp`."""
    rng = np.random.default_rng(seed)
    factor = round(mpp / 0.25)
    n = side_px * factor
    nuclei = ndimage.gaussian_filter((rng.random((n, n)) < 0.001).astype(float), 12) * 600
    grain = ndimage.gaussian_filter(rng.standard_normal((n, n)), 4) * 8
    amounts = np.stack([np.clip(nuclei * (1 + 0.4 * grain), 0, 0.8), np.full((n, n), 0.25), np.zeros((n, n))], axis=-1)
    amounts = ndimage.gaussian_filter(amounts, (blur_um / 0.25, blur_um / 0.25, 0))
    light = 10 ** -amounts.reshape(side_px, factor, side_px, factor, 3).mean(axis=(1, 3))
    return mix(-np.log10(light))


def test_sharpness_is_the_same_from_a_quarter_to_one_micrometre():
    values = [sharpness(tissue(round(128 / mpp), mpp), mpp) for mpp in (0.25, 0.5, 1.0)]
    assert np.ptp(values) < 0.05
    assert values[0] > OUT_OF_FOCUS


def test_sharpness_falls_with_every_blur():
    values = [sharpness(tissue(256, 0.5, blur_um=b), 0.5) for b in (0.5, 1.0, 2.0, 3.0, 4.0)]
    assert np.all(np.diff(values) < 0)
    assert values[-1] < OUT_OF_FOCUS


def test_sharpness_hardly_depends_on_the_strength_of_the_stain():
    rgb = tissue(256, 0.5)
    pale = np.rint(255 * (rgb / 255.0) ** 0.6).astype(np.uint8)
    assert sharpness(pale, 0.5) == pytest.approx(sharpness(rgb, 0.5), abs=0.06)


def test_coarse_pixels_and_blank_tiles_have_no_sharpness():
    assert math.isnan(sharpness(tissue(64, 0.5), 3.0))
    assert math.isnan(sharpness(np.full((64, 64, 3), 255, np.uint8), 0.5))
    with pytest.raises(UsageError):
        sharpness(tissue(64, 0.5), 0)


def test_tiles_are_judged():
    good = tile_quality(tissue(224, 0.5), 0.5)
    assert good.good
    assert good.tissue > 0.95
    assert tile_quality(np.full((224, 224, 3), (240, 238, 241), np.uint8), 0.5).empty
    blurred = tile_quality(tissue(224, 0.5, blur_um=4), 0.5)
    assert blurred.blurred
    assert not blurred.good
    inked = tissue(224, 0.5)
    inked[:120] = (30, 140, 70)
    judged = tile_quality(inked, 0.5)
    assert judged.inked
    assert judged.pen == pytest.approx(120 / 224, abs=0.12)


@pytest.mark.parametrize("shape", [(1, 1), (7, 130), (225, 113)])
def test_tiles_of_any_shape(shape):
    rgb = np.random.default_rng(1).integers(0, 255, (*shape, 3)).astype(np.uint8)
    for mpp in (0.25, 1.0, 2.0, 20.0):
        assert 0 <= tile_quality(rgb, mpp).tissue <= 1


@pytest.fixture
def slide_file(tmp_path):
    rgb = np.full((1000, 1200, 3), 242, np.uint8)
    rgb[100:900, 100:800] = np.tile(tissue(200, 1.0), (4, 4, 1))[:800, :700]
    rgb[300:700, 950:1100] = (30, 140, 70)
    path = tmp_path / "slide.png"
    Image.fromarray(rgb).save(path)
    return path


def test_a_slide_is_judged(slide_file):
    with open_slide(slide_file, 1.0) as slide:
        quality = slide_quality(slide)
        again = slide_quality(slide)
    assert quality == again
    assert quality.histology == ""
    assert quality.pen == pytest.approx(0.05, abs=0.02)
    assert quality.blur == 0
    assert quality.stains[0][0] > quality.stains[1][0], "haematoxylin absorbs more red"


def test_a_slide_file_is_described(slide_file, tmp_path):
    assert is_slide_file(slide_file)
    report = describe_slide(slide_file, 1.0)
    assert not report["problems"]
    assert (report["width"], report["mpp"], report["mpp_origin"]) == (1200, 1.0, "given")
    assert any("pen marks" in line for line in report["warnings"])
    assert json.loads(json.dumps(report)) == report
    text = tmp_path / "notes.txt"
    text.write_text("not a slide")
    assert not is_slide_file(text)
    assert not is_slide_file(tmp_path)


def test_a_slide_without_scale_is_a_problem_with_a_way_out(slide_file):
    report = describe_slide(slide_file)
    assert report["problems"][0]["exit_code"] == 4
    assert "--mpp" in report["problems"][0]["hint"]


def test_a_cut_file_and_another_picture_are_problems(slide_file, tmp_path):
    cut = tmp_path / "cut.png"
    cut.write_bytes(slide_file.read_bytes()[:2000])
    assert describe_slide(cut, 1.0)["problems"][0]["exit_code"] == 3
    grey = tmp_path / "grey.png"
    Image.fromarray(np.random.default_rng(0).integers(90, 200, (200, 200, 1)).repeat(3, 2).astype(np.uint8)).save(grey)
    assert "no H&E" in describe_slide(grey, 1.0)["problems"][0]["message"]


def test_inspect_prints_it(slide_file):
    from click.testing import CliRunner

    from focus_cli.cli.main import cli

    shown = CliRunner().invoke(cli, ["inspect", str(slide_file), "--mpp", "1"])
    assert shown.exit_code == 0, shown.output
    for word in ("levels", "H&E", "tissue", "pen marks", "folds", "out of focus", "haematoxylin", "eosin"):
        assert word in shown.output
    assert CliRunner().invoke(cli, ["inspect", str(slide_file)]).exit_code == 4


@pytest.mark.realdata
def test_the_real_svs(focus_data):
    with open_slide(focus_data / "wsi" / "cmu_small_region.svs") as slide:
        quality = slide_quality(slide)
        thumbnail = slide.thumbnail(600)
    assert dataclasses.asdict(quality)["histology"] == ""
    assert (quality.pen, quality.fold, quality.blur) == (0, 0, 0)
    assert 0.3 < quality.tissue < 0.4
    assert clean_tissue(thumbnail, 0.499 * 2967 / 600).mean() == pytest.approx(quality.tissue, abs=0.03)

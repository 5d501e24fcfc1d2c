"""Slides: every window equals the pixels that were written, at any scale, and only its tiles are decoded."""

import numpy as np
import pytest
import tifffile

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.histology.slides import open_slide

RNG = np.random.default_rng(7)
PIXELS = RNG.integers(0, 256, (300, 430, 3), dtype=np.uint8)


def halve(rgb):
    h, w = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
    blocks = rgb[:h, :w].reshape(h // 2, 2, w // 2, 2, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def write(path, levels=(PIXELS,), subifds=False, **options):
    options = {"tile": (64, 48), "photometric": "rgb", "compression": "deflate", "metadata": None, **options}
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as file:
        for i, level in enumerate(levels):
            extra = {"subifds": len(levels) - 1} if subifds and i == 0 else {}
            file.write(level, subfiletype=int(i > 0), **extra, **options)
    return path


VARIANTS = {
    "tiled": {},
    "strips": {"tile": None, "rowsperstrip": 17},
    "one strip": {"tile": None, "rowsperstrip": 300},
    "uncompressed": {"compression": None},
    "lzw with predictor": {"compression": "lzw", "predictor": True},
    "bigtiff": {"bigtiff": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_windows_are_the_slices_that_were_written(tmp_path, variant):
    with open_slide(write(tmp_path / "a.tif", **VARIANTS[variant])) as slide:
        assert (slide.width, slide.height) == (430, 300)
        for x, y, w, h in ((0, 0, 430, 300), (47, 63, 2, 2), (100, 130, 211, 99), (429, 299, 1, 1)):
            np.testing.assert_array_equal(slide.read(x, y, w, h), PIXELS[y : y + h, x : x + w])


def test_planar_colours_are_put_together(tmp_path):
    path = tmp_path / "planar.tif"
    planes = np.ascontiguousarray(np.moveaxis(PIXELS, 2, 0))
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", tile=(64, 64), metadata=None)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(31, 60, 100, 80), PIXELS[60:140, 31:131])


def test_outside_the_slide_is_white(tmp_path):
    with open_slide(write(tmp_path / "a.tif"), mpp=1.0) as slide:
        read = slide.read(-5, -3, 440, 310)
        assert read.shape == (310, 440, 3)
        np.testing.assert_array_equal(read[3:303, 5:435], PIXELS)
        frame = np.ones((310, 440), bool)
        frame[3:303, 5:435] = False
        assert (read[frame] == 255).all()
        assert (slide.read(1000, 1000, 8, 8, mpp=2.0) == 255).all()


@pytest.mark.parametrize(("name", "subifds"), [("a.tif", True), ("a.tif", False), ("a.ome.tif", True)])
def test_the_level_read_is_the_coarsest_that_is_fine_enough(tmp_path, name, subifds):
    # Levels of flat, different greys: the value read tells which level it came from.
    shapes = ((512, 768), (256, 384), (128, 192))
    levels = [np.full((*shape, 3), 50 * (i + 1), np.uint8) for i, shape in enumerate(shapes)]
    metadata = {"PhysicalSizeX": 0.5} if ".ome." in name else None
    with open_slide(write(tmp_path / name, levels, subifds, metadata=metadata), mpp=0.5) as slide:
        assert slide.downsamples == [1, 2, 4]
        for mpp, value in ((0.5, 50), (0.9, 50), (1.0, 100), (1.7, 100), (2.0, 150), (7.0, 150)):
            assert (slide.read(0, 0, 256, 256, mpp=mpp) == value).all(), mpp


def test_a_pyramid_reads_like_its_base(tmp_path):
    levels = [PIXELS, halve(PIXELS), halve(halve(PIXELS))]
    with (
        open_slide(write(tmp_path / "a.tif", levels), mpp=0.5) as pyramid,
        open_slide(write(tmp_path / "b.tif"), mpp=0.5) as base,
    ):
        assert pyramid.n_levels == 3
        a = pyramid.read(40, 80, 320, 160, mpp=2.0).astype(int)
        b = base.read(40, 80, 320, 160, mpp=2.0).astype(int)
        assert a.shape == (40, 80, 3)
        assert np.abs(a - b).max() <= 1  # the levels were rounded twice


def test_resampling_is_the_area_average(tmp_path):
    with open_slide(write(tmp_path / "a.tif"), mpp=0.5) as slide:
        got = slide.read(10, 20, 120, 90, mpp=1.5)
        blocks = PIXELS[20:110, 10:130].reshape(30, 3, 40, 3, 3).mean(axis=(1, 3))
        np.testing.assert_array_equal(got, np.rint(blocks).astype(np.uint8))


def test_fractional_scales_average_exactly_the_area_they_cover(tmp_path):
    # Written out for one row: 430 px into 129 cells of 10/3 px, by the integral of a step function.
    with open_slide(write(tmp_path / "a.tif"), mpp=0.3) as slide:
        got = slide.read(0, 7, 430, 10, mpp=1.0)
    assert got.shape == (3, 129, 3)
    edges = np.linspace(0, 430, 130)
    mean_rows = np.stack([PIXELS[7:17].astype(float)[rows] for rows in range(10)])
    y_edges = np.linspace(0, 10, 4)

    def cut(values, edges):
        integral = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        below = np.floor(edges).astype(int)
        upper = integral[np.minimum(below + 1, len(values))]
        shape = (-1,) + (1,) * (values.ndim - 1)
        at = integral[below] + (edges - below).reshape(shape) * (upper - integral[below])
        return np.diff(at, axis=0) / np.diff(edges).reshape(shape)

    expected = cut(np.moveaxis(cut(mean_rows, y_edges), 1, 0), edges)
    assert np.abs(np.moveaxis(expected, 0, 1) - got).max() <= 0.51


def test_the_mean_colour_survives_any_scale(tmp_path):
    with open_slide(write(tmp_path / "a.tif"), mpp=0.5) as slide:
        for mpp in (0.5, 0.77, 2.3, 11.0):
            got = slide.read(0, 0, 430, 300, mpp=mpp).mean(axis=(0, 1))
            assert np.abs(got - PIXELS.mean(axis=(0, 1))).max() < 0.5


def test_windows_of_one_scaling_fit_to_the_last_bit(tmp_path):
    with open_slide(write(tmp_path / "a.tif")) as slide:
        shape = (171, 233)
        whole = slide.read_scaled(shape)
        assert whole.shape == (*shape, 3)
        for window in ((0, 0, 171, 1), (13, 57, 64, 201), (170, 232, 171, 233)):
            a, b, c, d = window
            np.testing.assert_array_equal(slide.read_scaled(shape, window), whole[a:c, b:d])


def test_thumbnails_keep_the_shape_and_never_enlarge(tmp_path):
    with open_slide(write(tmp_path / "a.tif")) as slide:
        assert slide.thumbnail(43).shape == (30, 43, 3)
        np.testing.assert_array_equal(slide.thumbnail(5000), PIXELS)


def test_only_the_tiles_of_the_window_are_decoded(tmp_path, monkeypatch):
    with open_slide(write(tmp_path / "a.tif")) as slide:
        level = slide._source.levels[0]
        assert slide.paint is None  # sought once, on some tiles
        slide._source.cache.clear()
        seen = []
        monkeypatch.setattr(level, "_decode", lambda n, decode=level._decode: seen.append(n) or decode(n))
        slide.read(0, 0, 47, 64)
        assert seen == [0]
        slide.read(40, 60, 16, 8)  # the corner of four tiles, one of them held already
        assert sorted(seen) == [0, 1, 9, 10]


def test_the_cache_is_bounded(tmp_path):
    with open_slide(write(tmp_path / "a.tif")) as slide:
        cache = slide._source.cache
        cache.limit_bytes = 3 * 64 * 48 * 3
        np.testing.assert_array_equal(slide.read(0, 0, 430, 300), PIXELS)
        assert 0 < cache.held_bytes <= cache.limit_bytes


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_plain_images(tmp_path, suffix):
    from PIL import Image

    path = tmp_path / f"a.{suffix}"
    smooth = np.repeat(np.repeat(PIXELS[::30, ::43], 30, axis=0), 43, axis=1)
    Image.fromarray(smooth).save(path, quality=95)
    with open_slide(path, mpp=2.0) as slide:
        read = slide.read(43, 30, 86, 60).astype(int)
        assert np.abs(read - smooth[30:90, 43:129]).mean() < (0.01 if suffix == "png" else 4)
        assert slide.file_mpp is None


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_opacity_is_laid_over_white(tmp_path, suffix):
    from PIL import Image

    rgba = np.dstack([PIXELS, RNG.integers(0, 256, PIXELS.shape[:2], dtype=np.uint8)])
    rgba[:10] = (10, 20, 30, 0)
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        Image.fromarray(rgba).save(path)
    else:
        tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64))
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    with open_slide(path) as slide:
        read = slide.read(0, 0, 430, 300)
    assert (read[:10] == 255).all()
    assert np.abs(read - expected).max() <= 1


def test_aperio_ycbcr_is_turned_into_rgb(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    flat = np.array([[200, 60, 140]], np.float64)
    y = flat @ [0.299, 0.587, 0.114]
    ycbcr = np.stack([y, (flat[:, 2] - y) / 1.772 + 128, (flat[:, 0] - y) / 1.402 + 128], axis=1)
    tile = np.broadcast_to(np.rint(ycbcr[0]).astype(np.uint8), (64, 64, 3))
    data = imagecodecs.jpeg2k_encode(np.ascontiguousarray(tile), level=0, mct=False, codecformat="j2k")
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as file:
        file.write(
            iter([data]),
            shape=(64, 64, 3),
            dtype=np.uint8,
            tile=(64, 64),
            photometric="rgb",
            compression=33003,
            metadata=None,
        )
    with open_slide(path) as slide:
        assert np.abs(slide.read(0, 0, 64, 64).astype(int) - flat).max() <= 2


def test_what_makes_no_sense_is_refused(tmp_path):
    path = write(tmp_path / "a.tif")
    with pytest.raises(UsageError):
        open_slide(path, mpp=-1)
    with open_slide(path) as slide:
        with pytest.raises(MissingResourceError, match=r"scale of .* is unknown"):
            slide.read(0, 0, 10, 10, mpp=1.0)
        with pytest.raises(UsageError):
            slide.read(0, 0, 0, 10)
        with pytest.raises(UsageError):
            slide.read_scaled((10, 10), (0, 0, 11, 5))
        with pytest.raises(UsageError):
            slide.thumbnail(0)


@pytest.mark.realdata
def test_a_real_svs(focus_data):
    with open_slide(focus_data / "wsi" / "cmu_small_region.svs") as slide:
        assert (slide.width, slide.height, slide.n_levels) == (2220, 2967, 1)
        assert slide.mpp == pytest.approx(0.499)
        assert slide.file_mpp_origin == "Aperio description"
        whole = tifffile.imread(slide.path)
        np.testing.assert_array_equal(slide.read(1000, 2000, 333, 222), whole[2000:2222, 1000:1333])
        small = slide.read(0, 0, 2220, 2960, mpp=0.499 * 4)
        blocks = whole[:2960].reshape(740, 4, 555, 4, 3).mean(axis=(1, 3))
        assert np.abs(small - blocks).max() <= 0.51


@pytest.mark.realdata
def test_a_real_pyramid_with_rounded_levels(focus_data):
    with open_slide(focus_data / "wsi" / "small_HE_levels.tiff", mpp=1.0) as slide:
        assert slide.n_levels == 4
        assert slide.downsamples == [1, 2, 4, 8]
        assert slide.file_mpp is None  # its resolution tag would mean 353 µm
        for i, level in enumerate(slide._source.levels):
            whole = tifffile.imread(slide.path, series=0, level=i)
            np.testing.assert_array_equal(level.window(3, 5, level.width, level.height), whole[5:, 3:])


@pytest.mark.realdata
def test_a_fluorescence_image_is_refused(focus_data):
    with pytest.raises(BadInputError, match="uint16"):
        open_slide(focus_data / "native" / "xenium" / "morphology_mip.ome.tif")

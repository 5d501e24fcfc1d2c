"""A file with several slides is refused, copies and labels beside the slide are none, and marks of turns are stated."""

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from focus_cli.core.errors import BadInputError
from focus_cli.histology.slides import open_slide
from focus_cli.platforms.images import image_size

PIXELS = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
OTHER = np.random.default_rng(1).integers(0, 256, (236, 312, 3), dtype=np.uint8)


def write(path, *pictures, **options):
    with tifffile.TiffWriter(path) as file:
        for picture in pictures:
            file.write(picture, photometric="rgb", **options)
    return path


@pytest.mark.parametrize(
    "others", [(PIXELS,), (OTHER,), (OTHER, PIXELS[:, ::2]), (np.ascontiguousarray(PIXELS[:120]),)]
)
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_two_pictures_of_comparable_size_are_refused(tmp_path, others, name):
    with pytest.raises(BadInputError, match=f"holds {1 + len(others)} images: .*320 × 240 px") as caught:
        open_slide(write(tmp_path / name, PIXELS, *others))
    assert "series=0" in caught.value.hint


def test_the_hint_makes_a_slide(tmp_path):
    path = write(tmp_path / "a.tif", PIXELS, OTHER)
    tifffile.imwrite(tmp_path / "he.tif", tifffile.imread(path, series=0), photometric="rgb")
    with open_slide(tmp_path / "he.tif") as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 320, 240), PIXELS)


@pytest.mark.parametrize(
    "pictures",
    [
        (PIXELS[::8, ::8], PIXELS),
        (PIXELS, PIXELS[::2, ::2]),
        (PIXELS, PIXELS[::2, ::2], PIXELS[::4, ::4], OTHER[:60, :90]),
    ],
    ids=["thumbnail first", "half", "pyramid and label"],
)
def test_copies_thumbnails_and_labels_are_no_slides(tmp_path, pictures):
    path = write(tmp_path / "a.tif", *map(np.ascontiguousarray, pictures))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 320, 240), PIXELS)
    assert image_size(path) == (320, 240)


def test_the_size_of_an_image_does_not_depend_on_its_name(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "png.tif", format="PNG")
    write(tmp_path / "tiff.jpg", PIXELS)
    assert image_size(tmp_path / "png.tif") == image_size(tmp_path / "tiff.jpg") == (320, 240)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_marks_of_turns_are_stated_and_not_applied(tmp_path, orientation, name):
    path = tmp_path / name
    if name == "a.tif":
        write(path, PIXELS, extratags=[(274, "H", 1, orientation, True)])
    else:
        picture = Image.fromarray(PIXELS)
        exif = picture.getexif()
        exif[274] = orientation
        picture.save(path, exif=exif)
    with open_slide(path) as slide:
        assert (slide.width, slide.height) == (320, 240)
        assert any(f"orientation {orientation}" in note for note in slide.notes) == (orientation != 1)


def omezarr(path, levels):
    """Levels in the order given, as (name, step)."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    datasets = []
    for name, step in levels:
        data = np.moveaxis(PIXELS[::step, ::step], 2, 0)
        group.create_array(name, shape=data.shape, chunks=(3, 64, 64), dtype="u1")[:] = data
        datasets.append(
            {"path": name, "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5 * step, 0.5 * step]}]}
        )
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space", "unit": "micrometer"} for a in "yx")]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return path


@pytest.mark.parametrize("levels", [[("0", 1), ("1", 4)], [("1", 4), ("0", 1)], [("b", 2), ("a", 1), ("c", 4)]])
def test_the_largest_level_of_an_omezarr_is_its_slide(tmp_path, levels):
    path = omezarr(tmp_path / "a.zarr", levels)
    with open_slide(path) as slide:
        assert (slide.width, slide.height, slide.n_levels) == (320, 240, len(levels))
        assert slide.mpp == 0.5
        np.testing.assert_array_equal(slide.read(0, 0, 320, 240), PIXELS)
    assert image_size(path) == (320, 240)


def test_an_omezarr_of_a_coarse_level_alone_has_its_scale(tmp_path):
    with open_slide(omezarr(tmp_path / "a.zarr", [("3", 8)])) as slide:
        assert (slide.width, slide.height, slide.mpp) == (40, 30, 4.0)


@pytest.mark.parametrize("step", [1, 16])
def test_a_collection_of_several_slides_is_refused(tmp_path, step):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    omezarr(tmp_path / "a.zarr" / "0", [("0", 1)])
    omezarr(tmp_path / "a.zarr" / "1", [("0", step)])
    if step > 1:
        with open_slide(tmp_path / "a.zarr") as slide:
            assert slide.width == 320
        return
    with pytest.raises(BadInputError, match="holds 2 images: 0, 1"):
        open_slide(tmp_path / "a.zarr")
    with open_slide(tmp_path / "a.zarr" / "1") as slide:
        assert slide.width == 320

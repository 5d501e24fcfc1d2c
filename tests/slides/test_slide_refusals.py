"""Slides that cannot be used are refused in one line that names the file."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from focus_cli.errors import BadInputError, MissingResourceError
from focus_cli.slides import open_slide
from focus_cli.slides import plain as plain_module

PIXELS = np.random.default_rng(3).integers(0, 256, (200, 200, 3), dtype=np.uint8)


def refused(path, match=None, kind=BadInputError):
    with pytest.raises(kind, match=match) as caught, open_slide(path) as slide:
        slide.read(0, 0, slide.width, slide.height)
    assert path.name in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_missing_file(tmp_path):
    assert refused(tmp_path / "no.tif", "no such image", MissingResourceError).exit_code == 4


def test_a_folder_and_an_empty_file(tmp_path):
    refused(tmp_path, "not an image file")
    empty = tmp_path / "empty.tif"
    empty.touch()
    refused(empty, "is empty")


@pytest.mark.parametrize("name", ["a.tif", "strips.tif", "a.jpg", "a.png"])
@pytest.mark.parametrize("kept", [0.97, 0.5, 0.1, 0.001])
def test_truncated_files(tmp_path, name, kept):
    path = tmp_path / name
    if name == "a.tif":
        tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(64, 64), compression="deflate")
    elif name == "strips.tif":
        tifffile.imwrite(path, PIXELS, photometric="rgb")
    else:
        Image.fromarray(PIXELS).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: max(8, int(len(data) * kept))])
    assert refused(path).exit_code == 3


def test_a_tiff_whose_directory_is_at_its_end(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS, photometric="rgb", tile=(64, 64), compression="jpeg", metadata=None)
    data = bytearray(path.read_bytes())
    data[4:8] = (len(data) + 100).to_bytes(4, "little")
    path.write_bytes(data)
    refused(path)


def test_a_damaged_tile(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(64, 64), compression="deflate")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[5]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = bytes(40)
    path.write_bytes(data)
    refused(path, "cannot decode tile 5")


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (PIXELS.astype(np.uint16), {"photometric": "rgb"}),
        (PIXELS[..., 0], {"photometric": "minisblack"}),
        (PIXELS[..., 0].astype(np.uint16), {"photometric": "minisblack"}),
        (np.moveaxis(PIXELS, 2, 0).copy(), {"photometric": "minisblack"}),
        (PIXELS[..., 0].astype(np.float32), {"photometric": "minisblack"}),
    ],
    ids=["16-bit", "one channel", "16-bit one channel", "three fluorescence channels", "float"],
)
def test_what_is_not_eight_bit_colour(tmp_path, array, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, **options)
    assert "RGB" in refused(path, "stack|not an H&E").hint


@pytest.mark.parametrize("mode", ["L", "I;16", "LA", "CMYK"])
def test_plain_images_without_eight_bit_colour(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(PIXELS[..., 0].astype(np.uint16)).save(path)
    else:
        Image.fromarray(PIXELS).convert(mode).save(path)
    refused(path, "not an 8-bit colour image")


def test_other_formats_and_text(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.bmp")
    refused(tmp_path / "a.bmp", "BMP")
    (tmp_path / "a.png").write_text("barcode,in_tissue\n" * 50)
    refused(tmp_path / "a.png", "not a readable image")


def test_an_image_too_large_without_tiles(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    monkeypatch.setattr(plain_module, "MAX_PIECE_PIXELS", 10_000)
    assert "vips" in refused(path, "gigapixels").hint


def test_a_tiff_with_text_for_a_body(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\x00" + b"x" * 5000)
    refused(path, "cannot read")


def test_a_few_damaged_tiles_are_white_and_told_where_that_is_allowed(tmp_path):
    path = tmp_path / "hole.tif"
    pixels = np.random.default_rng(0).integers(60, 200, (1024, 1024, 3), dtype=np.uint8)
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb", compression="jpeg")
    with tifffile.TiffFile(path) as handle:
        offset, count = handle.pages[0].dataoffsets[17], handle.pages[0].databytecounts[17]
    with path.open("r+b") as handle:
        handle.seek(offset)
        handle.write(bytes(count))
    with open_slide(path) as slide, pytest.raises(BadInputError, match="17"):
        slide.thumbnail(256)
    with open_slide(path, max_damaged=0.01) as slide:
        assert slide.damage() == ""
        picture = slide.thumbnail(256)
        assert slide.damage() == "1 tiles of hole.tif could not be decoded; they are white there"
    assert (picture[16:32, 16:32] == 255).all() and (picture[32:, 32:] < 255).all()
    with open_slide(path, max_damaged=0.001) as slide, pytest.raises(BadInputError, match=r"1 of 256 tiles .* 0\.1 %"):
        slide.thumbnail(256)

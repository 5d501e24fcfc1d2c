"""Slides that cannot be used are refused in one line that names the file."""

import gzip
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.histology.slides import decoded as plain_module
from focus_cli.histology.slides import open_slide
from focus_cli.histology.slides.describe import describe_slide, is_slide_file

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


@pytest.mark.parametrize("name", ["a.png.gz", "a.tif.gz"])
def test_packed_images_are_named_with_the_way_to_unpack_them(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"anything"))
    assert is_slide_file(path)
    assert refused(path, "packed .gzip.").hint == f"unpack it first: gunzip -k {name}"


def test_a_named_pipe_is_no_image(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    assert is_slide_file(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "named pipe")


def png_of(path, width, height, pixels=b""):
    """A PNG whose header states a size."""
    out = b"\x89PNG\r\n\x1a\n"
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")):
        out += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(out)
    return path


@pytest.mark.parametrize("size", [(10**9, 1), (1, 10**9), (65_000, 65_000), (2**31 - 1, 2**31 - 1), (0, 5), (5, 0)])
def test_a_png_that_states_an_impossible_size(tmp_path, size, capfd):
    refused(png_of(tmp_path / "a.png", *size))
    assert capfd.readouterr().err == ""


def test_a_jpeg_that_states_an_impossible_size(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(PIXELS).save(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 30_000, 30_000)
    path.write_bytes(content)
    refused(path, "cannot hold")


def test_one_pixel_is_read(tmp_path):
    Image.fromarray(PIXELS[:1, :1]).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", 0.5) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 1, 1), PIXELS[:1, :1])
    assert describe_slide(tmp_path / "a.png", 0.5)["problems"]


def patched(path, tag, value, page=0):
    """Change the value of one tag, of the type that it has."""
    with tifffile.TiffFile(path) as file:
        found = file.pages[page].tags[tag]
        at, kind = found.valueoffset, {3: "<H", 4: "<I"}[int(found.dtype)]
    content = bytearray(path.read_bytes())
    content[at : at + struct.calcsize(kind)] = struct.pack(kind, value)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("tag", "value"),
    [("ImageWidth", 0), ("ImageLength", 0), ("ImageWidth", 60_000), ("TileWidth", 0), ("TileOffsets", 2**31)],
)
def test_tiff_headers_that_cannot_be(tmp_path, tag, value, capfd):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(208, 208), compression="deflate")
    refused(patched(path, tag, value))
    assert capfd.readouterr().err == ""


def test_fewer_tiles_than_the_size_needs(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(64, 64), compression="deflate")
    refused(patched(path, "ImageLength", 1000), "table of tiles is incomplete")


def test_directories_that_follow_each_other_in_a_circle(tmp_path, capfd):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for step in (1, 2):
            pixels = np.ascontiguousarray(PIXELS[::step, ::step])
            file.write(pixels, photometric="rgb", tile=(64, 64), metadata=None)
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0].offset, file.pages[1].offset
    content = bytearray(path.read_bytes())
    (n_tags,) = struct.unpack_from("<H", content, last)
    struct.pack_into("<I", content, last + 2 + 12 * n_tags, first)
    path.write_bytes(content)
    refused(path, "in a circle")
    assert capfd.readouterr().err == ""

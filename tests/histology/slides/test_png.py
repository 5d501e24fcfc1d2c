"""PNG: pixels as another decoder reads them, and nothing on standard error, whatever is damaged."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from focus_cli.core.errors import BadInputError
from focus_cli.histology.slides import open_slide

PIXELS = np.random.default_rng(5).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def saved(path, mode="RGB", **options):
    picture = Image.fromarray(PIXELS).convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.fromarray(PIXELS[..., 0]))
    picture.save(path, **options)
    return path


def read(path):
    with open_slide(path, 0.5) as slide:
        return slide.read(0, 0, slide.width, slide.height)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"optimize": True}])
def test_pixels_are_those_of_another_decoder(tmp_path, mode, options):
    path = saved(tmp_path / "a.png", mode, **options)
    whole = np.asarray(Image.open(path).convert("RGBA")).astype(float)
    alpha = whole[..., 3:] / 255
    np.testing.assert_allclose(read(path), whole[..., :3] * alpha + 255 * (1 - alpha), atol=1)


def test_a_colour_that_is_transparent_is_background(tmp_path):
    pixels = PIXELS.copy()
    pixels[:10] = (1, 2, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(1, 2, 3))
    got = read(tmp_path / "a.png")
    assert (got[:10] == 255).all()
    np.testing.assert_array_equal(got[10:], pixels[10:])


ODD = {
    "profile": (b"iCCP", b"x\0\0bad"),
    "colour space": (b"sRGB", b"\x09"),
    "background": (b"bKGD", b"\0"),
    "transparency": (b"tRNS", b"\0"),
    "time": (b"tIME", b"\xff" * 7),
    "gamma": (b"gAMA", b"\0" * 4),
    "size": (b"pHYs", b"\xff" * 9),
    "text": (b"tEXt", b"\0\0"),
    "histogram": (b"hIST", b"\0\1"),
    "own": (b"abCd", b"x"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_chunks_leave_nothing_on_standard_error(tmp_path, name, capfd):
    content = saved(tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:33] + chunk(*ODD[name]) + content[33:])
    try:
        np.testing.assert_array_equal(read(tmp_path / "a.png"), PIXELS)
    except BadInputError as refused:  # of what no decoder can take
        assert "\n" not in refused.message
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("seed", range(60))
def test_damage_leaves_nothing_on_standard_error(tmp_path, seed, capfd):
    rng = np.random.default_rng(seed)
    content = bytearray(saved(tmp_path / "a.png").read_bytes())
    for at in rng.integers(8, len(content), 1 + seed % 4):
        content[at] ^= 1 << rng.integers(0, 8)
    (tmp_path / "a.png").write_bytes(bytes(content))
    try:
        assert read(tmp_path / "a.png").shape[2] == 3
    except BadInputError as refused:
        assert "\n" not in refused.message and refused.hint
    assert capfd.readouterr().err == ""


def test_more_data_than_pixels_leaves_nothing_on_standard_error(tmp_path, capfd):
    rows = b"".join(b"\0" + row.tobytes() for row in PIXELS) + b"more" * 100
    head = struct.pack(">IIBBBBB", 80, 60, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    np.testing.assert_array_equal(read(tmp_path / "a.png"), PIXELS)
    assert capfd.readouterr().err == ""

"""Three grey planes that are red, green and blue are one colour image; stacks of fluorescence are refused."""

import numpy as np
import pytest
import tifffile

from focus_cli.core.errors import BadInputError
from focus_cli.histology.slides import open_slide
from focus_cli.histology.slides.planes import Channels, other_stains, rgb_order
from focus_cli.histology.slides.stain import mix


def stained(height=220, width=260, seed=1):
    """A picture in the colours of haematoxylin and eosin."""
    rng = np.random.default_rng(seed)
    amounts = np.zeros((height, width, 3))
    amounts[..., 1] = 0.25 + 0.1 * rng.random((height, width))
    amounts[rng.random((height, width)) < 0.2, 0] = 0.6
    amounts[:, : width // 5] = 0.01
    return mix(amounts)


HE = stained()
PLANES = np.ascontiguousarray(np.moveaxis(HE, 2, 0))


def stack(path, planes=PLANES, **options):
    tifffile.imwrite(path, planes, photometric="minisblack", **options)


def three_images(path, **options):
    with tifffile.TiffWriter(path) as file:
        for plane in PLANES:
            file.write(plane, photometric="minisblack", **options)


WRITERS = {
    "stack": lambda p: stack(p),
    "stack without description": lambda p: stack(p, metadata=None),
    "tiled stack": lambda p: stack(p, tile=(64, 64), compression="deflate"),
    "planar": lambda p: stack(p, planarconfig="separate"),
    "pixel by pixel": lambda p: stack(p, HE, planarconfig="contig"),
    "pixel by pixel, JPEG": lambda p: stack(p, HE, planarconfig="contig", tile=(64, 64), compression="lzw"),
    "three images": lambda p: three_images(p),
    "three pages": lambda p: three_images(p, metadata=None, tile=(64, 64)),
    "ImageJ": lambda p: tifffile.imwrite(p, PLANES, imagej=True, metadata={"axes": "CYX"}),
    "OME without names": lambda p: stack(p, ome=True, metadata={"axes": "CYX"}),
    "OME, numbered": lambda p: stack(p, ome=True, metadata={"axes": "CYX", "Channel": {"Name": ["C:0", "C:1", "C:2"]}}),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_planes_that_look_like_an_he_are_read_as_colour_and_said_to_be_a_guess(tmp_path, kind):
    path = tmp_path / ("a.ome.tif" if kind.startswith("OME") else "a.tif")
    WRITERS[kind](path)
    with open_slide(path, 1.0) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 260, 220), HE)
        np.testing.assert_array_equal(slide.read(50, 60, 70, 80), HE[60:140, 50:120])
        assert "red, green and blue" in slide.notes[0]
        assert "guess" in slide.notes[0]


def test_named_planes_are_ordered_by_their_names(tmp_path):
    path = tmp_path / "a.ome.tif"
    names = {"axes": "CYX", "Channel": {"Name": ["Blue", "Red", "Green"]}}
    stack(path, PLANES[[2, 0, 1]], ome=True, metadata=names, tile=(64, 64))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 260, 220), HE)
        assert "named red, green and blue" in slide.notes[0]


def test_planes_with_a_pyramid(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(PLANES, photometric="minisblack", metadata={"axes": "CYX"}, subifds=1, tile=(64, 64))
        half = np.ascontiguousarray(PLANES[:, ::2, ::2])
        file.write(half, photometric="minisblack", subfiletype=1, tile=(64, 64))
    with open_slide(path, 0.5) as slide:
        assert slide.downsamples == [1, 2]
        np.testing.assert_array_equal(slide.read_level(1, 0, 0, 130, 110), HE[::2, ::2])


def fluorescence():
    rng = np.random.default_rng(2)
    return (np.maximum(rng.normal(0, 1, (3, 220, 260)) - 1, 0) * 60).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("planes", "options", "match"),
    [
        (fluorescence(), {}, "dark"),
        (np.repeat(PLANES[:1], 3, 0), {}, "grey"),
        (PLANES, {"ome": True, "metadata": {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD3", "CD8"]}}}, "DAPI, CD3"),
        (np.repeat(PLANES, 2, 0)[:5], {}, "stack of 5"),
        (PLANES.astype(np.uint16), {}, "uint16"),
    ],
    ids=["fluorescence", "three grey pictures", "named stains", "five planes", "16-bit"],
)
def test_other_stacks_are_refused_with_a_way_on(tmp_path, planes, options, match):
    path = tmp_path / ("a.ome.tif" if options else "a.tif")
    stack(path, planes, **options)
    with pytest.raises(BadInputError, match=match) as caught:
        open_slide(path)
    assert caught.value.hint


def test_the_hint_converts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stack(tmp_path / "a.tif", fluorescence())
    with pytest.raises(BadInputError) as caught:
        open_slide(tmp_path / "a.tif")
    code = caught.value.hint.split('python -c "')[1].split('"')[0]
    exec(compile(code, "hint", "exec"), {})  # text of our own
    with open_slide(tmp_path / "rgb.tif") as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 260, 220), np.moveaxis(fluorescence(), 0, 2))


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("Red", "Green", "Blue"), (0, 1, 2)),
        (("b", "G", "r"), (2, 1, 0)),
        (("Red", "Red", "Blue"), None),
        (("DAPI", "FITC", "TRITC"), None),
        ((), None),
    ],
)
def test_the_order_that_names_state(names, order):
    assert rgb_order(Channels(names)) == order


@pytest.mark.parametrize(
    ("names", "colours", "stains"),
    [
        (("Channel:0:0", "Channel 1", "c2"), (), ""),
        (("", "", ""), ("FF0000", "00FF00", "0000FF"), ""),
        (("", "", ""), ("0000FF", "00FF00", "FF0000"), "shown as 0000FF, shown as 00FF00, shown as FF0000"),
        (("DAPI", "", ""), (), "DAPI"),
    ],
)
def test_what_speaks_against_colour(names, colours, stains):
    assert other_stains(Channels(names, colours)) == stains

"""OME-Zarr and vendors' formats read like the same pixels in a TIFF; what cannot be read is refused in one line."""

import importlib.util
import inspect
import json
import shutil
import sys
import threading

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.histology.slides import iterate_tiles, open_slide, tile_slide
from focus_cli.histology.slides import opening as opening_module
from focus_cli.histology.slides.describe import describe_slide, is_slide_file
from focus_cli.histology.slides.slide import Slide
from focus_cli.histology.slides.vendor import open_vendor

PIXELS = np.random.default_rng(5).integers(0, 256, (300, 430, 3), dtype=np.uint8)
HALF = np.ascontiguousarray(PIXELS[::2, ::2])


def write_zarr(path, axes="cyx", *, version="0.5", unit="micrometer", scale=0.25, levels=(PIXELS, HALF), **extra):
    """Write NGFF by hand, as its specification says."""
    sizes = {"t": 1, "c": levels[0].shape[2], "z": 1}
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for i, level in enumerate(levels):
        lengths = {**sizes, "y": level.shape[0], "x": level.shape[1]}
        kept = [axis for axis in axes if axis in "cyx"]
        data = level.transpose(["yxc".index(axis) for axis in kept]).reshape([lengths[axis] for axis in axes])
        chunks = [{"y": 64, "x": 48}.get(axis, 1) for axis in axes]
        array = group.create_array(str(i), shape=data.shape, chunks=chunks, dtype=data.dtype)
        array[...] = data
        factors = [scale * 2**i if axis in "yx" else 1.0 for axis in axes]
        datasets.append({"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": factors}]})
    kinds = {"t": {"type": "time"}, "c": {"type": "channel"}}
    space = {"type": "space", **({"unit": unit} if unit else {})}
    multiscales = [{"axes": [{"name": a, **kinds.get(a, space)} for a in axes], "datasets": datasets}]
    ngff = {"multiscales": multiscales, **extra}
    group.attrs.update({"ome": {"version": "0.5", **ngff}} if version == "0.5" else ngff)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "tczyx", "yxc"])
def test_omezarr_reads_what_was_written(tmp_path, version, axes):
    with open_slide(write_zarr(tmp_path / "a.zarr", axes, version=version)) as slide:
        assert (slide.width, slide.height, slide.downsamples) == (430, 300, [1, 2])
        assert slide.mpp == pytest.approx(0.25)
        assert slide.file_mpp_origin == "OME-Zarr"
        for x, y, w, h in ((0, 0, 430, 300), (47, 63, 2, 2), (429, 299, 1, 1)):
            np.testing.assert_array_equal(slide.read(x, y, w, h), PIXELS[y : y + h, x : x + w])
        np.testing.assert_array_equal(slide.read(96, 64, 96, 64, mpp=0.5), HALF[32:64, 48:96])
        tiles = np.concatenate([b.pixels for b in iterate_tiles(slide, tile_slide(slide, 60, 0.25), batch=9)])
        np.testing.assert_array_equal(tiles[8 + 1], PIXELS[60:120, 60:120])
        assert (tiles[-1][:, 10:] == 255).all()  # beyond the edge


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_omezarr_as_its_own_library_writes_it(tmp_path, version):
    pytest.importorskip("ome_zarr")
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.writer import write_image

    # From 0.20 on, the library takes the scale of the first level alone.
    stated = (
        {"scale": {"c": 1.0, "y": 0.5, "x": 0.5}, "axes_units": {"y": "micrometer", "x": "micrometer"}}
        if "axes_units" in inspect.signature(write_image).parameters
        else {"coordinate_transformations": [[{"type": "scale", "scale": [1.0, 0.5 * f, 0.5 * f]}] for f in (1, 2)]}
    )
    write_image(
        PIXELS.transpose(2, 0, 1),
        str(tmp_path / "a.zarr"),
        axes=[
            {"name": "c", "type": "channel"},
            {"name": "y", "type": "space", "unit": "micrometer"},
            {"name": "x", "type": "space", "unit": "micrometer"},
        ],
        scale_factors=[2],
        **stated,
        fmt=FormatV04() if version == "0.4" else FormatV05(),
    )
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.mpp == pytest.approx(0.5)
        assert slide.downsamples == [1, 2]
        np.testing.assert_array_equal(slide.read(31, 60, 100, 80), PIXELS[60:140, 31:131])


@pytest.mark.parametrize(
    ("unit", "scale", "expected"),
    [("nanometer", 250.0, 0.25), ("millimeter", 0.0005, 0.5), (None, 0.25, None), ("pixel", 1.0, None)],
)
def test_the_scale_of_an_omezarr_needs_its_unit(tmp_path, unit, scale, expected):
    with open_slide(write_zarr(tmp_path / "a.zarr", unit=unit, scale=scale)) as slide:
        assert slide.mpp == (None if expected is None else pytest.approx(expected))


def test_an_omezarr_inside_a_collection(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    write_zarr(tmp_path / "a.zarr" / "0", version="0.4")
    with open_slide(tmp_path / "a.zarr") as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 430, 300), PIXELS)


def refused(path, match, kind=BadInputError):
    with pytest.raises(kind, match=match) as caught, open_slide(path) as slide:
        slide.read(0, 0, slide.width, slide.height)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def colours(*values):
    return {"omero": {"channels": [{"color": value} for value in values]}}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"levels": [PIXELS.astype(np.uint16)]}, "uint16"),
        ({"levels": [PIXELS[..., :1]]}, r"1 channel"),
        ({"levels": [np.dstack([PIXELS, PIXELS[..., :1]])]}, r"4 channel"),
        (colours("0000FF", "00FF00", "FF0000"), "shown as"),
    ],
    ids=["16-bit", "one channel", "four channels", "fluorescence"],
)
def test_omezarr_that_is_no_colour_image(tmp_path, options, match):
    refused(write_zarr(tmp_path / "a.zarr", **options), match)


def test_omezarr_with_red_green_and_blue_channels_is_read(tmp_path):
    with open_slide(write_zarr(tmp_path / "a.zarr", **colours("FF0000", "00FF00", "0000ff"))) as slide:
        assert slide.width == 430


def test_a_stack_in_an_omezarr(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", "tczyx")
    group = zarr.open_group(path)
    del group["0"]
    group.create_array("0", shape=(1, 3, 5, 300, 430), chunks=(1, 1, 1, 64, 64), dtype=np.uint8)
    refused(path, "stack")


def test_damaged_omezarrs(tmp_path):
    zarr.open_group(tmp_path / "no.zarr", mode="w")
    refused(tmp_path / "no.zarr", "without an OME-Zarr image")
    path = write_zarr(tmp_path / "a.zarr")
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"][0]["axes"] = ["c", "y", "x"]
    (path / "zarr.json").write_text(json.dumps(document))
    refused(path, "metadata are damaged")
    (path / "zarr.json").write_text("{")
    refused(path, "is not JSON")
    path = write_zarr(tmp_path / "b.zarr")
    shutil.rmtree(path / "0")
    refused(path, "cannot read")


def test_a_damaged_chunk_costs_its_tiles_alone(tmp_path):
    path = write_zarr(tmp_path / "a.zarr")
    (path / "0" / "c" / "1" / "2" / "3").write_bytes(b"not a chunk")
    refused(path, "cannot decode chunk")
    with open_slide(path) as slide:
        batches = list(iterate_tiles(slide, tile_slide(slide, 24, 0.25), max_damaged=0.5))
    damaged = np.concatenate([b.damaged for b in batches])
    assert damaged.reshape(13, 18)[5:8, 6:8].sum() == damaged.sum() == 6  # rows 128-192, columns 144-192


def test_a_symbolic_link_to_itself(tmp_path):
    loop = tmp_path / "loop.tif"
    loop.symlink_to(loop)
    assert "link" in refused(loop, "leads to itself", MissingResourceError).message
    (tmp_path / "gone.tif").symlink_to(tmp_path / "nowhere.tif")
    refused(tmp_path / "gone.tif", "file that is not there", MissingResourceError)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "again").symlink_to(folder)
    refused(folder, "not an image file")


def test_vendors_formats_without_openslide(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openslide", None)
    path = tmp_path / "a.ndpi"
    path.write_bytes(b"II*\x00" + bytes(100))
    assert "focus-st[wsi]" in refused(path, "needs openslide", MissingResourceError).hint


def test_vendors_formats_that_openslide_does_not_know(tmp_path):
    pytest.importorskip("openslide")
    path = tmp_path / "a.mrxs"
    path.write_bytes(b"no slide at all")
    refused(path, "openslide cannot read")


def test_what_tifffile_cannot_read_goes_to_openslide_where_it_knows_it(tmp_path, monkeypatch):
    path = tmp_path / "a.svs"
    path.write_bytes(b"II*\x00" + b"x" * 500)
    asked = []
    monkeypatch.setattr(opening_module, "has_openslide", lambda path: asked.append(path) or False)
    refused(path, "cannot read")
    assert asked == [path]


@pytest.fixture
def svs(focus_data):
    pytest.importorskip("openslide")
    return focus_data / "wsi" / "cmu_small_region.svs"


@pytest.mark.realdata
def test_the_real_svs_through_openslide(svs):
    with Slide(svs, open_vendor(svs)) as vendor, open_slide(svs) as ours:
        assert (vendor.width, vendor.height) == (ours.width, ours.height)
        assert vendor.mpp == pytest.approx(ours.mpp)
        assert vendor.file_mpp_origin == "vendor properties"
        np.testing.assert_array_equal(vendor.read(900, 1500, 333, 222), ours.read(900, 1500, 333, 222))
        a, b = (list(iterate_tiles(s, tile_slide(s, 224, 1.0), batch=16)) for s in (vendor, ours))
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)


@pytest.mark.realdata
def test_a_vendors_suffix_is_read_through_openslide(svs, tmp_path):
    shutil.copy(svs, tmp_path / "a.svslide")
    with open_slide(tmp_path / "a.svslide") as slide:
        assert slide.file_mpp_origin == "vendor properties"


@pytest.mark.realdata
def test_openslide_goes_on_after_a_damaged_tile(svs, tmp_path):
    path = tmp_path / "damaged.svs"
    data = bytearray(svs.read_bytes())
    with tifffile.TiffFile(svs) as file:
        offset = file.pages[0].dataoffsets[23]  # column 3, row 2
    data[offset : offset + 200] = bytes(200)
    path.write_bytes(data)
    with Slide(path, open_vendor(path)) as slide, open_slide(svs) as whole:
        tiling = tile_slide(slide, 240, slide.mpp)
        batches = list(iterate_tiles(slide, tiling, batch=10, threads=4, max_damaged=0.1))
        damaged = np.concatenate([b.damaged for b in batches])
        np.testing.assert_array_equal(np.flatnonzero(damaged), [23])
        np.testing.assert_array_equal(batches[3].pixels[0], whole.read(0, 720, 240, 240))
        with pytest.raises(BadInputError, match="cannot decode"):
            slide.read(3 * 240, 2 * 240, 240, 240)


def test_a_plain_image_is_decoded_once_for_all_threads(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    with open_slide(path, mpp=0.5) as slide:
        level = slide.levels[0]
        seen, decode = [], level._decode
        monkeypatch.setattr(level, "_decode", lambda: seen.append(threading.get_ident()) or decode())
        tiles = np.concatenate([b.pixels for b in iterate_tiles(slide, tile_slide(slide, 50, 0.5), batch=7, threads=4)])
    assert len(seen) == 1
    np.testing.assert_array_equal(tiles[0], PIXELS[:50, :50])


def test_opening_slides_does_not_load_openslide(tmp_path):
    assert importlib.util.find_spec("focus_cli.histology.slides.vendor")
    import subprocess

    code = "import sys, focus_cli.histology.slides; sys.exit('openslide' in sys.modules or 'zarr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_folder_of_an_omezarr_is_described_as_a_slide(tmp_path, version):
    path = write_zarr(tmp_path / "a.zarr", version=version)
    assert is_slide_file(path)
    assert describe_slide(path)["levels"][1]["downsample"] == 2
    zarr.open_group(tmp_path / "b.zarr", mode="w").attrs["spatialdata_attrs"] = {}
    assert not is_slide_file(tmp_path / "b.zarr")

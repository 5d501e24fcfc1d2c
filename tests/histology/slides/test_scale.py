"""µm per pixel of x and y are read where files state them, only where plausible, and must agree."""

import json

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from focus_cli.core.errors import BadInputError
from focus_cli.histology.slides import open_slide
from focus_cli.histology.slides.describe import describe_slide
from focus_cli.histology.slides.scale import Stated, file_scale, plausible
from focus_cli.histology.slides.vendor import VendorSource

PIXELS = np.zeros((64, 64, 3), np.uint8)
APERIO = "Aperio Image Library v11.2.1\n64x64 (64x64) JPEG/RGB Q=30|AppMag = 40|MPP = 0.2525"


def write(path, **options):
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(64, 64), **options)
    return path


def ome(**sizes):
    return {"ome": True, "metadata": {f"PhysicalSize{name}": value for name, value in sizes.items()}}


def tags(x, y, unit="CENTIMETER", **more):
    return {"resolution": (x, y), "resolutionunit": unit, "metadata": None, **more}


CASES = {
    "OME, µm": (ome(X=0.26, XUnit="µm"), 0.26),
    "OME, nm": (ome(X=260, XUnit="nm"), 0.26),
    "OME, no unit": (ome(X=0.5), 0.5),
    "OME, units that differ": (ome(X=0.5, Y=500, YUnit="nm"), 0.5),
    "OME, nearly square": (ome(X=0.5, Y=0.51), 0.505),
    "OME, y alone": (ome(Y=0.5), 0.5),
    "OME, y is no length": (ome(X=0.5, Y=-1), 0.5),
    "OME says nothing": ({"ome": True, "metadata": {}}, None),
    "Aperio": ({"description": APERIO, "metadata": None}, 0.2525),
    "cm": (tags(20_000, 20_000), 0.5),
    "cm, nearly square": (tags(20_000, 19_800), 0.502525),
    "inch": (tags(25_400, 25_400, "INCH"), 1.0),
    "72 dpi": (tags(72, 72, "INCH"), None),
    "72 by 144 dpi": (tags(72, 144, "INCH"), None),
    "no unit": (tags(20_000, 20_000, "NONE"), None),
    "absurdly fine": (tags(1e6, 1e6), None),
    "Aperio before tags": (tags(1e4, 1e4, description=APERIO), 0.2525),
}


@pytest.mark.parametrize("case", CASES)
def test_the_files_own_scale(tmp_path, case):
    options, expected = CASES[case]
    name = "a.ome.tif" if options.get("ome") else "a.tif"
    with open_slide(write(tmp_path / name, **options)) as slide:
        assert slide.mpp == (None if expected is None else pytest.approx(expected))
        assert (slide.file_mpp_origin == "") == (expected is None)


def test_the_unit_of_imagej(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    with open_slide(path) as slide:
        assert (slide.mpp, slide.file_mpp_origin) == (0.5, "ImageJ")


def write_zarr(path, version, x, y, units=("micrometer", "micrometer")):
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    group.create_array("0", shape=(3, 64, 64), chunks=(1, 64, 64), dtype=np.uint8)
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": unit} for name, unit in zip("yx", units)]
    scale = [{"type": "scale", "scale": [1.0, y, x]}]
    ngff = {"multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]}
    group.attrs.update({"ome": {"version": "0.5", **ngff}} if version == "0.5" else ngff)
    return path


def unequal(folder, kind):
    """A file whose pixels are 0.5 µm wide and 1 µm high."""
    if kind.startswith("OME-Zarr"):
        return write_zarr(folder / "a.zarr", kind[-3:], 0.5, 1.0)
    if kind == "OME-Zarr units":
        return write_zarr(folder / "a.zarr", "0.5", 0.5, 0.001, ("millimeter", "micrometer"))
    if kind == "ImageJ":
        tifffile.imwrite(folder / "a.tif", PIXELS, imagej=True, resolution=(2, 1), metadata={"unit": "um"})
        return folder / "a.tif"
    options = {
        "OME": ome(X=0.5, Y=1.0),
        "OME, mm and nm": ome(X=0.0005, XUnit="mm", Y=1000, YUnit="nm"),
        "OME, y out of range": ome(X=0.5, Y=500.0),
        "cm": tags(20_000, 10_000),
        "inch": tags(50_800, 25_400, "INCH"),
        "Aperio": tags(20_000, 10_000, description=APERIO.replace("0.2525", "0.5")),
    }[kind]
    return write(folder / ("a.ome.tif" if kind.startswith("OME") else "a.tif"), **options)


UNEQUAL = ["OME", "OME, mm and nm", "cm", "inch", "Aperio", "ImageJ", "OME-Zarr 0.4", "OME-Zarr 0.5"]


@pytest.mark.parametrize("kind", UNEQUAL)
def test_axes_of_different_scales_are_refused_with_both_figures(tmp_path, kind):
    path = unequal(tmp_path, kind)
    with pytest.raises(BadInputError, match=r"0\.5 along x, 1 along y") as caught:
        open_slide(path)
    assert path.name in caught.value.message
    assert "--mpp" in caught.value.hint
    report = describe_slide(path)
    assert [problem["exit_code"] for problem in report["problems"]] == [3]


@pytest.mark.parametrize("kind", UNEQUAL)
def test_a_given_scale_overrides_axes_that_differ_and_says_so(tmp_path, kind):
    with open_slide(unequal(tmp_path, kind), mpp=0.7) as slide:
        assert (slide.mpp, slide.file_mpp) == (0.7, None)
        assert "0.5 along x, 1 along y" in slide.notes[0]
        assert "0.7" in slide.notes[0]


def test_one_axis_that_no_microscope_has_disagrees_with_the_other(tmp_path):
    with pytest.raises(BadInputError, match=r"0\.5 along x, 500 along y"):
        open_slide(unequal(tmp_path, "OME, y out of range"))


def test_the_properties_of_a_vendors_slide():
    class Handle:
        level_dimensions, level_downsamples = [(64, 64)], [1.0]

        def __init__(self, **properties):
            self.properties = {f"openslide.{name.replace('_', '-')}": value for name, value in properties.items()}

    def scale(**properties):
        return VendorSource(None, Handle(**properties)).scale

    assert scale(mpp_x="0.5", mpp_y="0.505").mpp == pytest.approx(0.5025)
    assert scale(mpp_x="0.5").mpp == 0.5
    assert scale().mpp is None
    assert "0.5 along x, 0.25 along y" in scale(mpp_x="0.5", mpp_y="0.25").conflict


def test_statements_that_differ_are_named(tmp_path):
    path = write(tmp_path / "a.tif", **tags(1e4, 1e4, description=APERIO))
    with open_slide(path) as slide:
        assert slide.mpp == 0.2525
        assert slide.notes == [
            "a.tif: its µm per pixel are stated twice: 0.2525 (Aperio description), which is used, "
            "and 1 (resolution tags)"
        ]
    assert json.dumps(describe_slide(path)["warnings"]).count("stated twice") == 1


def test_a_given_scale_is_used_and_the_files_own_stays_visible(tmp_path):
    path = write(tmp_path / "a.tif", **tags(1e4, 1e4))
    with open_slide(path, mpp=0.7) as slide:
        assert slide.mpp == 0.7
        assert slide.file_mpp == pytest.approx(1.0)
        assert slide.file_mpp_origin == "resolution tags"
        assert slide.notes == []


LENGTH = st.one_of(st.none(), st.floats(), st.floats(0.01, 30))


@given(LENGTH, LENGTH)
def test_a_scale_is_either_plausible_or_a_conflict_or_unknown(x, y):
    scale = file_scale([Stated.of(x, y, "here")])
    if scale.conflict:
        assert max(x, y) > 1.03 * min(x, y)
    elif scale.mpp is not None:
        assert all(v is None or not v > 0 or abs(v / scale.mpp - 1) <= 0.03 or v == float("inf") for v in (x, y))
        assert plausible(x) or plausible(y)
    assert scale.mpp is None or not scale.conflict


def test_a_level_of_another_shape_is_no_level_of_the_pyramid(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((256, 256, 3), np.uint8), photometric="rgb", tile=(64, 64), subifds=2)
        for shape in ((128, 64, 3), (64, 64, 3)):
            file.write(np.zeros(shape, np.uint8), photometric="rgb", tile=(64, 64), subfiletype=1)
    with open_slide(path) as slide:
        assert [(level.width, level.height) for level in slide.levels] == [(256, 256), (64, 64)]
        assert slide.downsamples == [1, 4]

"""µm per pixel is read where files state it, and only where that is plausible."""

import numpy as np
import pytest
import tifffile

from focus_cli.slides import open_slide

PIXELS = np.zeros((64, 64, 3), np.uint8)
APERIO = "Aperio Image Library v11.2.1\n64x64 (64x64) JPEG/RGB Q=30|AppMag = 40|MPP = 0.2525"


def write(path, **options):
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(64, 64), **options)
    return path


CASES = {
    "OME, µm": ({"ome": True, "metadata": {"PhysicalSizeX": 0.26, "PhysicalSizeXUnit": "µm"}}, 0.26),
    "OME, nm": ({"ome": True, "metadata": {"PhysicalSizeX": 260, "PhysicalSizeXUnit": "nm"}}, 0.26),
    "OME, no unit": ({"ome": True, "metadata": {"PhysicalSizeX": 0.5}}, 0.5),
    "OME says nothing": ({"ome": True, "metadata": {}}, None),
    "Aperio": ({"description": APERIO, "metadata": None}, 0.2525),
    "cm": ({"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER", "metadata": None}, 0.5),
    "inch": ({"resolution": (25_400, 25_400), "resolutionunit": "INCH", "metadata": None}, 1.0),
    "72 dpi": ({"resolution": (72, 72), "resolutionunit": "INCH", "metadata": None}, None),
    "no unit": ({"resolution": (20_000, 20_000), "resolutionunit": "NONE", "metadata": None}, None),
    "absurdly fine": ({"resolution": (1e6, 1e6), "resolutionunit": "CENTIMETER", "metadata": None}, None),
    "Aperio before tags": (
        {"description": APERIO, "resolution": (1e4, 1e4), "resolutionunit": "CENTIMETER", "metadata": None},
        0.2525,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_files_own_scale(tmp_path, case):
    options, expected = CASES[case]
    name = "a.ome.tif" if options.get("ome") else "a.tif"
    with open_slide(write(tmp_path / name, **options)) as slide:
        assert slide.mpp == (None if expected is None else pytest.approx(expected))
        assert (slide.file_mpp_origin == "") == (expected is None)


def test_a_given_scale_is_used_and_the_files_own_stays_visible(tmp_path):
    path = write(tmp_path / "a.tif", resolution=(1e4, 1e4), resolutionunit="CENTIMETER", metadata=None)
    with open_slide(path, mpp=0.7) as slide:
        assert slide.mpp == 0.7
        assert slide.file_mpp == pytest.approx(1.0)
        assert slide.file_mpp_origin == "resolution tags"

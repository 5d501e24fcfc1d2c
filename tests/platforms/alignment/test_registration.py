"""Registration against known turns: the residual in µm, the wrong tissue refused, the vendor's picture preferred.

The real sections print the table of docs/registration.md:
``pytest tests/platforms/alignment/test_registration.py -m realdata -s``.
"""

import numpy as np
import pytest
from PIL import Image
from turned import turn

from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError
from focus_cli.histology.slides import open_slide
from focus_cli.platforms import read
from focus_cli.platforms.alignment.placement import Place, Points, Slice, refine, search
from focus_cli.platforms.alignment.registration import MIN_MARGIN, register
from focus_cli.platforms.preprocessing import keep_locations
from focus_cli.platforms.preprocessing.registration import register_image

TURNS = [
    {"degrees": 0.0},
    {"degrees": 90.0, "mirrored": True, "shift": (60, 0)},
    {"degrees": 17.0, "shift": (90, 30)},
    {"degrees": 200.0, "mirrored": True, "shift": (10, 120), "scale": 0.8},
    {"degrees": 313.0, "scale": 1.25},
]


class Section:
    """A section as read, and its H&E as one picture of at most 1400 px."""

    def __init__(self, path, side=1400):
        self.sample = read(path)
        self.adata, _ = keep_locations(self.sample.adata)
        mpp = self.sample.mpp / self.sample.image_scale
        with open_slide(self.sample.image_path, mpp=mpp) as slide:
            self.rgb = slide.thumbnail(side)
            self.um_per_px = mpp * slide.width / self.rgb.shape[1]

    def register(self, folder, *, states_mpp=True, entry=None, force=True, picture=None, **how):
        """Turn the H&E, register it, and return (rms, largest) residual in µm, the figures and the warnings."""
        picture, truth = turn(self.rgb if picture is None else picture, **how)
        Image.fromarray(picture).save(folder / "turned.png")
        mpp = self.um_per_px / how.get("scale", 1.0)
        with open_slide(folder / "turned.png") as slide:
            slide.file_mpp = mpp if states_mpp else None
            found, _, figures, warnings = register_image(slide, self.sample, self.adata, entry or {}, force=force)
        xy = self.adata.obsm["spatial"]
        off = np.linalg.norm(found(xy) - truth(xy * self.sample.mpp / self.um_per_px), axis=1) * mpp
        return float(np.sqrt(np.mean(off**2))), float(off.max()), figures["registration"], warnings


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    from focus_cli.simulation import simulate

    return simulate(tmp_path_factory.mktemp("study") / "s", n_sections=2, size_um=2200.0, n_genes=60, seed=5, mpp=2.0)


@pytest.fixture(scope="module")
def simulated(study):
    return Section(study / "sections" / "S1", side=1000)


@pytest.mark.parametrize("how", TURNS[1:4], ids=str)
def test_a_known_turn_is_found(simulated, tmp_path, how):
    rms, largest, figures, warnings = simulated.register(tmp_path, **how)
    assert rms < 25 and largest < 50  # spots are 100 µm apart
    assert warnings == [] and figures["margin"] > MIN_MARGIN
    assert figures["mirrored"] == how.get("mirrored", False)
    assert abs((figures["degrees_clockwise"] - how["degrees"] + 180) % 360 - 180) < 2
    assert figures["scale"] == 1.0 and figures["on"] == "locations"


def test_an_image_that_states_no_scale(simulated, tmp_path):
    rms, _, _, warnings = simulated.register(tmp_path, states_mpp=False, degrees=35.0, scale=0.7)
    assert warnings == [] and rms < 50


def test_the_picture_of_the_vendor_is_the_better_witness(simulated, tmp_path):
    small = np.asarray(Image.fromarray(simulated.rgb).resize([side // 2 for side in simulated.rgb.shape[1::-1]]))
    factor = small.shape[1] / simulated.rgb.shape[1] / simulated.um_per_px * simulated.sample.mpp
    entry = {"images": {"hires": small}, "scalefactors": {"tissue_hires_scalef": factor}}
    rms, _, figures, warnings = simulated.register(tmp_path, entry=entry, degrees=62.0, mirrored=True)
    assert warnings == [] and figures["on"] == "the vendor's picture"
    assert rms < 8 and figures["correlation"] > 0.9


def test_other_tissue_is_refused(simulated, study, tmp_path):
    other = Section(study / "sections" / "S2", side=1000)
    with pytest.raises(BadInputError, match=r"turned\.png cannot be registered") as refusal:
        simulated.register(tmp_path, picture=other.rgb, force=False)
    assert "--landmarks" in refusal.value.hint
    *_, warnings = simulated.register(tmp_path, picture=other.rgb)
    assert len(warnings) == 1 and "(forced)" in warnings[0]


def test_the_same_twice(simulated, tmp_path):
    assert simulated.register(tmp_path, degrees=17.0) == simulated.register(tmp_path, degrees=17.0)


def test_too_few_places_and_no_tissue():
    points = Points(np.arange(20.0).reshape(10, 2), np.zeros(10), 1.0)
    blank = Slice(np.zeros((20, 20)), np.zeros((20, 20), bool), 1.0)
    with pytest.raises(BadInputError, match="10 places are too few"):
        register(points, points, blank)
    many = Points(np.random.default_rng(0).random((50, 2)) * 20, np.zeros(50), 1.0)
    with pytest.raises(BadInputError, match="no tissue"):
        register(many, many, blank)


def test_a_small_sample_on_a_large_slide_is_found_in_every_corner():
    # Shifts of the transform wrap round: each corner must be reached.
    rng = np.random.default_rng(0)
    xy = np.column_stack([a.ravel() for a in np.mgrid[0:12, 0:9]])[:, ::-1] * 100.0 + 50
    level = rng.permutation(len(xy)).astype(float)
    level = (level - level.mean()) / level.std()
    for x, y in ((100, 100), (6000, 200), (200, 5000), (6100, 5300)):
        nuclei, tissue = np.zeros((330, 370)), np.zeros((330, 370), bool)
        for (px, py), value in zip(xy, level):
            here = (
                slice(int(y + py - 50) // 20, int(y + py + 50) // 20),
                slice(int(x + px - 50) // 20, int(x + px + 50) // 20),
            )
            nuclei[here], tissue[here] = 1 + 0.2 * value, True
        points, slide = Points(xy, level, 100.0), Slice(nuclei, tissue, 20.0)
        place, score = refine(points, slide, search(points, slide)[0], stretch=0.0)
        truth = Place(False, 0.0, 0.0, (x, y), (0.0, 0.0)).transform
        assert np.abs(place.transform(xy) - truth(xy)).max() < 30 and score.correlation > 0.9
    assert isinstance(place.transform, Affine)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["C2", "C3", "C4", "C5", "kidney"])
def test_real_sections(name, focus_data, tmp_path):
    section = Section(focus_data / ("visium_hd_kidney" if name == "kidney" else f"st_her2_breast/{name}"))
    limit = 10 if name == "kidney" else 60  # µm; bins of 8 µm, spots 200 µm apart
    for how in TURNS if name in ("C2", "kidney") else TURNS[2:4]:
        rms, largest, figures, warnings = section.register(tmp_path, **how)
        print(
            f"| {name} | {how} | {rms:.0f} | {largest:.0f} | {figures['margin']:.2f} | {figures['correlation']:.2f} |"
        )
        assert rms < limit and warnings == []

"""`focus nuclei`: slides and samples in, a table out; optional methods; refusals in one line."""

import dataclasses
import sys
import types

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from focus_cli.cli.main import cli
from focus_cli.core.coordinates import Affine, Coordinates, System
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.storage import open_sample
from focus_cli.histology.nuclei import find_nuclei
from focus_cli.histology.nuclei.backends import open_method
from focus_cli.histology.nuclei.stage import parse_region, write_nuclei
from focus_cli.histology.slides import open_slide

REGION = "150,150,400,350"


def test_a_slide_gives_a_parquet_file(section, tmp_path):
    out = tmp_path / "nuclei.parquet"
    done = CliRunner().invoke(cli, ["nuclei", str(section.path), "--mpp", "0.5", "--region", REGION, "--out", str(out)])
    assert done.exit_code == 0, done.output
    table = pd.read_parquet(out)
    assert table.index.name == "nucleus"
    assert list(table.columns) == ["x_um", "y_um", "area_um2", "eccentricity", "haematoxylin"]
    assert table["x_um"].between(145, 405).all()
    assert table.attrs["provenance"]["command"] == "nuclei"


def test_the_same_run_writes_the_same_bytes(section, tmp_path):
    for name in ("a.parquet", "b.parquet", "a.csv"):
        write_nuclei(section.path, tmp_path / name, mpp=0.5, region=REGION)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    text = pd.read_csv(tmp_path / "a.csv", index_col="nucleus")
    np.testing.assert_allclose(text.to_numpy(), pd.read_parquet(tmp_path / "a.parquet").to_numpy())


@pytest.fixture(scope="module")
def sample(study, tmp_path_factory):
    from focus_cli.platforms.preprocessing import preprocess

    return preprocess(study.sections[0], tmp_path_factory.mktemp("samples") / "S1", "S1", mpp=2.0)


def test_a_sample_gives_places_on_its_own_axes(sample, tmp_path):
    info = sample.info
    image = (sample.path / info.image.path).resolve()
    found = write_nuclei(sample.path, tmp_path / "n.parquet", region="300,300,700,700")
    with open_slide(image, info.image.mpp) as slide:
        own = find_nuclei(slide, region_um=(300, 300, 700, 700))
    expected = info.coordinates.between(System.IMAGE, System.UM)(own[["x_um", "y_um"]].to_numpy() / info.image.mpp)
    np.testing.assert_allclose(found[["x_um", "y_um"]].to_numpy(), expected)
    xy = sample.read().obsm["spatial_um"]
    assert found["x_um"].between(xy[:, 0].min() - 200, xy[:, 0].max() + 200).mean() > 0.95


def test_a_turned_image_turns_the_places(sample, tmp_path):
    turned = tmp_path / "turned"
    turned.mkdir()
    for file in sample.path.iterdir():
        (turned / file.name).symlink_to(file)
    quarter = Affine.of([[0, -1, 3000], [1, 0, 500]])
    known = Coordinates()
    known.add(System.IMAGE, System.FULLRES, quarter, "turned for the test")
    known.add(System.FULLRES, System.UM, Affine.scaling(sample.info.mpp), "scale")
    image = dataclasses.replace(sample.info.image, path=str((sample.path / sample.info.image.path).resolve()))
    (turned / "sample.json").unlink()
    (turned / "sample.json").write_text(dataclasses.replace(sample.info, coordinates=known, image=image).to_json())
    straight = write_nuclei(sample.path, tmp_path / "a.csv", region="300,300,600,600")
    found = write_nuclei(turned, tmp_path / "b.csv", region="300,300,600,600")
    mpp = sample.info.mpp
    assert open_sample(turned).info.coordinates == known
    np.testing.assert_allclose(found["x_um"], -straight["y_um"] + 3000 * mpp)
    np.testing.assert_allclose(found["y_um"], straight["x_um"] + 500 * mpp)
    np.testing.assert_allclose(found["area_um2"], straight["area_um2"])


def test_refusals(section, sample, tmp_path):
    out = tmp_path / "n.parquet"
    with pytest.raises(UsageError, match="not a table"):
        write_nuclei(section.path, tmp_path / "n.xlsx", mpp=0.5)
    with pytest.raises(UsageError, match="a sample has a scale"):
        write_nuclei(sample.path, out, mpp=0.5)
    with pytest.raises(MissingResourceError, match="scale"):
        write_nuclei(section.path, out)
    for text in ("1,2,3", "a,b,c,d", "5,0,1,9", "0,0,inf,nan"):
        with pytest.raises(UsageError, match="not a region"):
            parse_region(text)
    out.write_text("precious")
    with pytest.raises(OutputExistsError):
        write_nuclei(section.path, out, mpp=0.5)
    assert out.read_text() == "precious"


def test_a_sample_whose_image_is_gone_or_never_was(sample, tmp_path):
    for image, error in ((None, BadInputError), ("gone.tif", MissingResourceError)):
        folder = tmp_path / str(image)
        folder.mkdir()
        (folder / "counts.h5ad").symlink_to(sample.path / "counts.h5ad")
        picture = None if image is None else dataclasses.replace(sample.info.image, path=image)
        (folder / "sample.json").write_text(dataclasses.replace(sample.info, image=picture).to_json())
        with pytest.raises(error):
            write_nuclei(folder, tmp_path / "n.csv")


@pytest.mark.parametrize("name", ["instanseg", "cellpose"])
def test_a_missing_library_says_what_to_install(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingResourceError, match="not installed") as refusal:
        open_method(name)
    assert "pip install" in refusal.value.hint


def blobs(rgb):
    """Labels with a gap in their numbers, as a library might give them."""
    from scipy import ndimage

    labels, _ = ndimage.label(rgb[..., 0] < 120)
    return labels * 3


def instanseg():
    module = types.ModuleType("instanseg")

    class InstanSeg:
        def __init__(self, name, device, verbosity):
            assert name == "brightfield_nuclei"

        def eval_small_image(self, rgb, pixel_size):
            assert pixel_size == 0.5
            return blobs(rgb)[None, None].astype(np.float32), None

    module.InstanSeg = InstanSeg
    return module


def cellpose():
    module = types.ModuleType("cellpose")

    class CellposeModel:
        def __init__(self, gpu):
            assert gpu is False

        def eval(self, rgb, diameter):
            assert diameter == pytest.approx(16)
            return blobs(rgb).astype(np.uint16), None, None

    module.models = types.SimpleNamespace(CellposeModel=CellposeModel)
    return module


@pytest.mark.parametrize("make", [instanseg, cellpose])
def test_an_optional_methods_labels_become_nuclei(monkeypatch, tmp_path, make):
    """With a stand-in of the library: discs at known places, some across the borders of windows."""
    monkeypatch.setitem(sys.modules, make.__name__, make())
    rgb = np.full((500, 500, 3), (225, 160, 195), np.uint8)
    rgb[:30] = 243
    y, x = np.mgrid[:500, :500]
    centres = [(100, 120), (255, 256), (400, 300), (256, 430)]
    for row, column in centres:
        rgb[np.hypot(y - row, x - column) < 8] = (90, 60, 150)
    path = tmp_path / "he.png"
    Image.fromarray(rgb).save(path)
    with open_slide(path, 0.5) as slide:
        found = find_nuclei(slide, method=make.__name__, tile_um=128, device="cpu")
    expected = sorted((row, column) for row, column in centres)
    np.testing.assert_allclose(found[["y_um", "x_um"]].to_numpy(), (np.array(expected) + 0.5) * 0.5, atol=1e-6)


def test_a_library_without_its_weights_says_so(monkeypatch):
    module = types.ModuleType("instanseg")

    def refuse(*_, **__):
        raise ConnectionError("no route to host")

    module.InstanSeg = refuse
    monkeypatch.setitem(sys.modules, "instanseg", module)
    with pytest.raises(MissingResourceError, match="weights"):
        open_method("instanseg")

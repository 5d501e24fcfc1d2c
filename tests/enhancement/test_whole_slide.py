"""A slide without counts: what a model says of its tissue, and where it says nothing."""

from __future__ import annotations

from types import SimpleNamespace

import anndata
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from model.training.tiny_cohort import TINY_TRAINING
from PIL import Image
from raw_folders import write_visium
from scipy.spatial import cKDTree

from focus_cli.cli.enhance import command
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, OutputExistsError, UsageError
from focus_cli.enhancement import enhance
from focus_cli.enhancement.stage import EnhanceOptions
from focus_cli.model.training.stage import train
from focus_cli.platforms.preprocessing import Encoding, PreprocessOptions, preprocess

SLIDE = EnhanceOptions(histology_only=True, resolution_um=50.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slide")
    raw = write_visium(folder / "raw")
    stored = preprocess(raw.path, folder / "S1", "S1", step_um=16.0)
    settings = folder / "tiny.yaml"
    settings.write_text(yaml.safe_dump(TINY_TRAINING.model_dump(mode="json")))
    train([stored.path], folder / "model", config=settings, device="cpu")
    image = (stored.path / stored.info.image.path).resolve()
    return SimpleNamespace(folder=folder, stored=stored, model=folder / "model", image=image, settings=settings)


@pytest.fixture(scope="module")
def slide(world):
    out = world.folder / "slide.h5ad"
    reader = {"image": world.image, "mpp": world.stored.info.image.mpp}
    enhance(None, out, model=world.model, options=SLIDE, preparation=PreprocessOptions(reader))
    return anndata.read_h5ad(out)


def test_the_grid_covers_the_tissue(world, slide):
    um = slide.obsm[keys.SPATIAL_UM]
    distance, _ = cKDTree(um).query(um, k=2)
    assert distance[:, 1].min() == pytest.approx(50.0)
    np.testing.assert_allclose(slide.obsm[keys.SPATIAL] * world.stored.info.image.mpp, um)
    measured = world.stored.read().obsm[keys.SPATIAL_UM]
    assert np.median(cKDTree(um).query(measured)[0]) < 50


def test_nothing_is_claimed_to_be_measured(slide):
    assert not slide.var[keys.MEASURED].any() and slide.layers[keys.COUNTS].nnz == 0
    assert np.isfinite(slide.X).all() and slide.uns[keys.UNS]["n_measured"] == 0


def test_it_says_what_the_sample_says_of_the_same_places(world, slide, tmp_path):
    enhance(world.stored.path, tmp_path / "same.h5ad", model=world.model, options=EnhanceOptions(histology_only=True))
    same = anndata.read_h5ad(tmp_path / "same.h5ad")
    distance, near = cKDTree(slide.obsm[keys.SPATIAL_UM]).query(same.obsm[keys.SPATIAL_UM])
    assert np.median(distance) < 40  # the grids do not meet, the tissue is smooth
    gene = same.var_names[np.argmax(np.asarray(same.X).std(axis=0))]
    here, there = (np.asarray(a[:, gene].X).ravel() for a in (slide, same))
    assert np.corrcoef(here[near], there)[0, 1] > 0.7


def test_training_tissue_is_known_and_another_kind_is_not(world, slide, tmp_path):
    assert slide.obs[keys.OOD_SCORE].median() < 1
    # The same colours in stripes of 20 µm: no tissue of the training is like that.
    pixels = np.asarray(Image.open(world.image).convert("RGB")).copy()
    tissue = pixels.mean(axis=2) < 225
    stripes = (np.arange(pixels.shape[0]) // 8 % 2 == 0)[:, None] & tissue
    pixels[tissue & stripes], pixels[tissue & ~stripes] = (120, 60, 150), (235, 170, 200)
    Image.fromarray(pixels).save(tmp_path / "stripes.png")
    reader = {"image": tmp_path / "stripes.png", "mpp": world.stored.info.image.mpp}
    enhance(None, tmp_path / "stripes.h5ad", model=world.model, options=SLIDE, preparation=PreprocessOptions(reader))
    strange = anndata.read_h5ad(tmp_path / "stripes.h5ad")
    assert strange.obs[keys.OOD_SCORE].median() > 1.5
    assert strange.obs[keys.ABSTAIN][strange.obs[keys.OOD_SCORE] > 1].all()


def test_the_command_draws_an_overview(world, tmp_path):
    arguments = ["--histology-only", "--image", world.image, "--mpp", world.stored.info.image.mpp]
    arguments += ["--model", world.model, "--out", tmp_path / "a.h5ad", "--genes", "measured"]
    done = CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 1000 and len(np.unique(np.asarray(picture)[::7, ::7].reshape(-1, 4), axis=0)) > 100
    with pytest.raises(OutputExistsError, match=r"a\.png"):
        CliRunner().invoke(
            command,
            [*map(str, arguments[:-4]), "--out", str(tmp_path / "b.h5ad"), "--picture", str(tmp_path / "a.png")],
            catch_exceptions=False,
        )


def test_a_model_of_another_encoder_is_refused_and_its_own_found(world, tmp_path):
    encoding = Encoding("random:tiny", step_um=112.0, mpp=2.0)
    stored = preprocess(world.folder / "raw", tmp_path / "S1", "S1", step_um=16.0, encoding=encoding)
    assert (stored.path / keys.ENCODER_ZARR).is_dir()
    train([stored.path], tmp_path / "model", config=world.settings, device="cpu")
    reader = {"image": world.image, "mpp": world.stored.info.image.mpp}
    more = {"model": tmp_path / "model", "options": SLIDE, "preparation": PreprocessOptions(reader)}
    with pytest.raises(BadInputError, match="other weights or settings"):
        enhance(None, tmp_path / "a.h5ad", **more, encoding=Encoding("random:tiny:1", mpp=2.0))
    enhance(None, tmp_path / "a.h5ad", **more, encoding=encoding)
    assert anndata.read_h5ad(tmp_path / "a.h5ad").n_obs > 10
    # A sample without the encoder's features cannot be read by this model, and the reverse can.
    with pytest.raises(BadInputError, match="random-tiny"):
        enhance(world.stored.path, tmp_path / "b.h5ad", model=tmp_path / "model")
    enhance(stored.path, tmp_path / "c.h5ad", model=world.model, options=EnhanceOptions(genes="measured"))


@pytest.mark.parametrize(
    ("options", "reader", "match"),
    [
        (EnhanceOptions(), {"image": "a.png"}, "no sample"),
        (SLIDE, {}, "no sample"),
        (SLIDE, {"image": "a.png", "bin_um": 8.0}, "--bin-um"),
    ],
)
def test_what_makes_no_sense_without_a_sample(world, tmp_path, options, reader, match):
    with pytest.raises(UsageError, match=match):
        enhance(None, tmp_path / "a.h5ad", model=world.model, options=options, preparation=PreprocessOptions(reader))


def test_a_slide_without_tissue_or_scale(world, tmp_path):
    Image.new("RGB", (400, 400), (240, 240, 240)).save(tmp_path / "glass.png")
    with pytest.raises(BadInputError, match=r"not an H&E|no tissue"):
        enhance(
            None,
            tmp_path / "a.h5ad",
            model=world.model,
            options=SLIDE,
            preparation=PreprocessOptions({"image": tmp_path / "glass.png", "mpp": 1.0}),
        )
    assert not (tmp_path / "a.h5ad").exists()

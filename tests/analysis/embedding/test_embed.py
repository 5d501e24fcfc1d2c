"""What `focus embed` writes: one space for one model and mode, and nothing that order, names or angle could change."""

from __future__ import annotations

import json
import shutil

import anndata
import numpy as np
import pytest
from click.testing import CliRunner

from focus_cli.analysis.embedding.space import model_space
from focus_cli.analysis.embedding.stage import EmbedOptions, embed
from focus_cli.cli.embed import command
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.model.training import load_model


def run(study, out, sample=None, **options):
    embed(sample or study.samples["S1"], out, model=study.model, options=EmbedOptions(device="cpu", **options))
    return anndata.read_h5ad(out)


def changed(study, folder, change):
    """A stored sample like S1, its table changed."""
    shutil.copytree(study.samples["S1"], folder)
    adata = change(anndata.read_h5ad(folder / keys.COUNTS_H5AD))
    adata.write_h5ad(folder / keys.COUNTS_H5AD)
    return folder


@pytest.fixture(scope="module")
def joint(enhanced_study, tmp_path_factory):
    return run(enhanced_study, tmp_path_factory.mktemp("joint") / "S1.h5ad", samples=2)


def test_three_scales_are_written_and_scanpy_could_draw_them(enhanced_study, joint):
    stored = anndata.read_h5ad(enhanced_study.samples["S1"] / keys.COUNTS_H5AD)
    assert joint.obs_names.tolist() == stored.obs_names.tolist() and joint.n_vars == 0
    np.testing.assert_array_equal(joint.obsm["spatial"], stored.obsm["spatial"])
    width = joint.obsm["focus_location"].shape[1]
    assert joint.obsm["focus_neighbourhood"].shape == (joint.n_obs, 2 * width)
    assert joint.uns["focus_slide"].shape == (4 * width,)
    assert joint.obsm["focus_location_sample_1"].shape == joint.obsm["focus_location"].shape
    assert "focus_neighbourhood_sample_1" in joint.obsm and "focus_location_sample_2" not in joint.obsm
    facts = joint.uns["focus"]
    assert facts["kind"] == "embedding" and facts["mode"] == "joint" and facts["sample_id"] == "S1"
    assert facts["n_expression_axes"] + facts["n_image_axes"] == width
    assert joint.obs["reliability"].between(0, 1).all() and (joint.obs["ood_score"] > 0).all()
    assert json.loads(facts["provenance"])["command"] == "embed"


def test_like_domains_lie_together(enhanced_study, joint):
    truth = anndata.read_h5ad(enhanced_study.study.truth("S1")).obs["domain"].reindex(joint.obs_names).to_numpy(str)
    values = joint.obsm["focus_location"]
    distance = ((values[:, None] - values[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    agree = (truth[distance.argmin(axis=1)] == truth).mean()
    shares = np.unique(truth, return_counts=True)[1] / len(truth)
    assert agree > (shares**2).sum() + 0.25


def test_same_seed_same_bytes(enhanced_study, tmp_path):
    for name in "ab":
        run(enhanced_study, tmp_path / f"{name}.h5ad", samples=1)
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "b.h5ad").read_bytes()


def test_the_space_is_that_of_model_mode_and_widths(enhanced_study, joint, tmp_path):
    other = run(enhanced_study, tmp_path / "S2.h5ad", sample=enhanced_study.samples["S2"])
    assert other.uns["focus"]["space"] == joint.uns["focus"]["space"]
    expression = run(enhanced_study, tmp_path / "e.h5ad", mode="expression")
    wide = run(enhanced_study, tmp_path / "w.h5ad", mode="expression", widths_um=(50.0, 300.0))
    assert len({a.uns["focus"]["space"] for a in (joint, expression, wide)}) == 3
    copy = tmp_path / "model"
    shutil.copytree(enhanced_study.model, copy)
    model = load_model(copy)
    assert model_space(model, copy, "joint", (50.0, 150.0)).name == joint.uns["focus"]["space"]
    (copy / keys.TRAINING_LOG).write_text("another log")
    assert model_space(model, copy, "joint", (50.0, 150.0)).name == joint.uns["focus"]["space"]


def test_distance_is_that_of_expected_molecules(enhanced_study):
    from focus_cli.model.priors.statistics import residual_scale

    model = load_model(enhanced_study.model)
    axes = model_space(model, enhanced_study.model, "expression", (50.0,)).expression
    p = model.prior.baseline[model.prior.measured]
    v = model.prior.loadings[model.prior.measured] * (p * residual_scale(p))[:, None]
    z = np.random.default_rng(0).normal(size=(30, v.shape[1]))
    wanted, made = ((z @ v.T) ** 2).sum(axis=1), ((z @ axes) ** 2).sum(axis=1)
    assert np.corrcoef(wanted, made)[0, 1] > 0.99


def test_the_h_and_e_alone_does_not_look_at_counts(enhanced_study, tmp_path):
    def fewer(adata):
        adata.X = adata.X.multiply(np.arange(adata.n_obs)[:, None] % 2).tocsr()
        return adata

    made = run(enhanced_study, tmp_path / "a.h5ad", mode="histology")
    other = run(
        enhanced_study, tmp_path / "b.h5ad", sample=changed(enhanced_study, tmp_path / "S1", fewer), mode="histology"
    )
    np.testing.assert_array_equal(made.obsm["focus_location"], other.obsm["focus_location"])
    assert keys.TOTAL_COUNTS not in made.obs and made.uns["focus"]["mode"] == "histology"


def test_order_of_genes_and_locations_does_not_matter(enhanced_study, joint, tmp_path):
    rng = np.random.default_rng(3)
    genes = changed(enhanced_study, tmp_path / "g", lambda a: a[:, rng.permutation(a.n_vars)].copy())
    places = changed(enhanced_study, tmp_path / "p", lambda a: a[rng.permutation(a.n_obs)].copy())
    # On a regular array many neighbours are equally far; which of them is the last to count is left to the order.
    for sample, tolerance in ((genes, 1e-3), (places, 0.02)):
        made = run(enhanced_study, sample.with_suffix(".h5ad"), sample=sample)[joint.obs_names]
        for key in ("focus_location", "focus_neighbourhood"):
            np.testing.assert_allclose(made.obsm[key], joint.obsm[key], atol=tolerance * joint.obsm[key].std())
        np.testing.assert_allclose(made.uns["focus_slide"], joint.uns["focus_slide"], atol=2e-3)


def test_turned_coordinates_give_the_same_vectors(enhanced_study, tmp_path):
    turn = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])

    def turned(adata):
        for key in ("spatial", "spatial_um"):
            adata.obsm[key] = adata.obsm[key] @ turn.T
        return adata

    made = run(enhanced_study, tmp_path / "a.h5ad", mode="expression")
    sample = changed(enhanced_study, tmp_path / "S1", turned)
    other = run(enhanced_study, tmp_path / "b.h5ad", sample=sample, mode="expression")
    for key in ("focus_location", "focus_neighbourhood"):
        a, b = made.obsm[key], other.obsm[key]
        # The network gathers distant locations on a grid along the axes, so the farthest counts are grouped otherwise.
        assert np.abs(a - b).mean() < 0.05 * a.std() and np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.998


def test_a_slide_alone(enhanced_study, tmp_path):
    image = next((enhanced_study.study.sections[0]).rglob("tissue_image.tif"))
    words = ["--histology-only", "--image", image, "--mpp", "2", "--model", enhanced_study.model, "--device", "cpu"]
    out = tmp_path / "slide.h5ad"
    done = CliRunner().invoke(command, [*map(str, words), "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    made = anndata.read_h5ad(out)
    assert made.n_obs > 20 and np.isfinite(made.obsm["focus_neighbourhood"]).all()
    assert made.uns["focus"]["mode"] == "histology" and made.uns["focus"]["sample_id"] == "tissue_image"


def test_refusals(enhanced_study, tmp_path):
    sample, model, out = enhanced_study.samples["S1"], enhanced_study.model, tmp_path / "a.h5ad"
    with pytest.raises(UsageError, match="must end in"):
        embed(sample, tmp_path / "a.txt", model=model)
    with pytest.raises(UsageError, match="no sample to embed"):
        embed(None, out, model=model)
    with pytest.raises(UsageError, match="--image is for a slide"):
        embed(sample, out, model=model, image=tmp_path / "he.tif")
    with pytest.raises(UsageError, match="positive"):
        embed(sample, out, model=model, options=EmbedOptions(widths_um=(0.0,)))
    with pytest.raises(MissingResourceError):
        embed(tmp_path / "nowhere", out, model=model)
    out.write_text("mine")
    with pytest.raises(OutputExistsError):
        embed(sample, out, model=model)
    out.unlink()

    def renamed(adata):
        adata.var_names = [f"other{i}" for i in range(adata.n_vars)]
        adata.var = adata.var[[]]
        return adata

    with pytest.raises(BadInputError, match="contains 0 of the"):
        run(enhanced_study, out, sample=changed(enhanced_study, tmp_path / "r", renamed))
    bare = tmp_path / "bare"
    shutil.copytree(sample, bare)
    for raster in bare.glob("*.zarr"):
        shutil.rmtree(raster)
    with pytest.raises(BadInputError, match="has no image"):
        run(enhanced_study, out, sample=bare, mode="histology")
    assert run(enhanced_study, out, sample=bare).uns["focus"]["mode"] == "expression"
    done = CliRunner().invoke(command, [str(sample), "--out", str(out), "--widths-um", "a"])
    assert isinstance(done.exception, UsageError) and not list(tmp_path.glob(".*"))

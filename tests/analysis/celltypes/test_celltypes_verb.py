"""``focus celltypes``: what it reads, writes and refuses."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import sparse

from focus_cli.analysis.celltypes.stage import CellTypeOptions, cells_per_location, celltypes, latent_states
from focus_cli.cli.main import cli
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.genes.reference import build_reference

QUICK = CellTypeOptions(calibration_locations=2000)


@pytest.fixture(scope="module")
def estimate(enhanced_study, tmp_path_factory):
    out = tmp_path_factory.mktemp("celltypes") / "S1.h5ad"
    celltypes(enhanced_study.enhanced["S1"], enhanced_study.reference, out, QUICK)
    return out


def test_the_result_holds_shares_intervals_and_labels(enhanced_study, estimate):
    read = ad.read_h5ad(estimate)
    source = ad.read_h5ad(enhanced_study.enhanced["S1"], backed="r")
    assert list(read.obs_names) == list(source.obs_names) and read.uns["focus"]["kind"] == "celltypes"
    share, low, high = (read.obsm[f"cell_type_proportions{end}"] for end in ("", "_low", "_high"))
    assert np.allclose(share.sum(axis=1), 1, atol=1e-4)
    assert ((low <= share + 1e-6) & (share <= high + 1e-6)).all().all()
    assert list(read.obs["cell_type"]) == list(share.idxmax(axis=1))
    assert read.obs["cell_type_confidence"].between(0, 1).all()
    truth = ad.read_h5ad(enhanced_study.study.truth("S1"))[read.obs_names].obsm["cell_type_proportions"][share.columns]
    r = [np.corrcoef(share[name], truth[name])[0, 1] for name in share.columns if truth[name].std() > 0.02]
    assert np.mean(r) > 0.75
    inside = ((low - 1e-6 <= truth) & (truth <= high + 1e-6)).to_numpy().mean()
    assert 0.7 < inside < 0.99
    assert (share.idxmax(axis=1) == truth.idxmax(axis=1)).mean() > 0.75


def test_the_order_of_genes_and_locations_changes_nothing(enhanced_study, estimate, tmp_path):
    whole = ad.read_h5ad(enhanced_study.enhanced["S1"])
    rng = np.random.default_rng(0)
    turned = whole[rng.permutation(whole.n_obs), rng.permutation(whole.n_vars)].copy()
    turned.write_h5ad(tmp_path / "turned.h5ad")
    celltypes(tmp_path / "turned.h5ad", enhanced_study.reference, tmp_path / "out.h5ad", QUICK)
    one, two = ad.read_h5ad(estimate), ad.read_h5ad(tmp_path / "out.h5ad")
    assert list(two.obs_names) == list(turned.obs_names)
    two = two[one.obs_names]
    assert np.allclose(one.obsm["cell_type_proportions"], two.obsm["cell_type_proportions"], atol=1e-3)


def test_the_same_run_gives_the_same_bytes(enhanced_study, estimate, tmp_path):
    celltypes(enhanced_study.enhanced["S1"], enhanced_study.reference, tmp_path / "S1.h5ad", QUICK)
    assert (tmp_path / "S1.h5ad").read_bytes() == estimate.read_bytes()


def section(path, *, counts=None, genes=None, uns=None):
    counts = np.ones((6, 12)) if counts is None else counts
    genes = [f"g{i:02d}" for i in range(counts.shape[1])] if genes is None else genes
    adata = ad.AnnData(sparse.csr_matrix(counts.astype(np.float32)), var=pd.DataFrame(index=genes))
    adata.obs_names = [f"l{i}" for i in range(len(counts))]
    adata.obsm["spatial"] = np.random.default_rng(0).uniform(0, 100, (len(counts), 2))
    adata.uns |= uns or {}
    adata.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("reference")
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"cell_type": ["a", "b"] * 20, "one": "x"}, index=[f"c{i}" for i in range(40)])
    mean = np.where((np.arange(40)[:, None] % 2) == (np.arange(12) % 2), 6.0, 1.0)
    cells = ad.AnnData(sparse.csr_matrix(rng.poisson(mean).astype(np.float32)), obs=obs)
    cells.var_names = [f"g{i:02d}" for i in range(12)]
    cells.write_h5ad(path / "cells.h5ad")
    build_reference(path / "cells.h5ad", path / "two", "cell_type")
    build_reference(path / "cells.h5ad", path / "one", "one")
    return path


def test_a_file_of_another_program_is_read(reference, tmp_path):
    rng = np.random.default_rng(1)
    file = section(tmp_path / "s.h5ad", counts=rng.poisson(3, (30, 12)))
    celltypes(file, reference / "two", tmp_path / "out.h5ad", CellTypeOptions(calibration_locations=800))
    assert list(ad.read_h5ad(tmp_path / "out.h5ad").obsm["cell_type_proportions"]) == ["a", "b"]


def test_what_cannot_be_used_ends_in_one_line(reference, tmp_path):
    good = section(tmp_path / "good.h5ad")
    out = tmp_path / "out.h5ad"
    with pytest.raises(BadInputError, match="contains 1 cell type"):
        celltypes(good, reference / "one", out)
    strangers = section(tmp_path / "strangers.h5ad", genes=[f"q{i}" for i in range(12)])
    with pytest.raises(BadInputError, match="shares 0 measured genes"):
        celltypes(strangers, reference / "two", out)
    with pytest.raises(BadInputError, match="no count of the"):
        celltypes(section(tmp_path / "empty.h5ad", counts=np.zeros((6, 12))), reference / "two", out)
    with pytest.raises(BadInputError, match="no whole numbers"):
        celltypes(section(tmp_path / "logged.h5ad", counts=np.full((6, 12), 0.7)), reference / "two", out)
    with pytest.raises(BadInputError, match="2 locations hold counts"):
        celltypes(section(tmp_path / "few.h5ad", counts=np.ones((2, 12))), reference / "two", out)
    with pytest.raises(MissingResourceError):
        celltypes(good, tmp_path / "nowhere", out)
    with pytest.raises(MissingResourceError):
        celltypes(tmp_path / "nowhere.h5ad", reference / "two", out)
    with pytest.raises(UsageError, match="contradict"):
        celltypes(good, reference / "two", out, CellTypeOptions(unit="cells", cells=5))
    with pytest.raises(BadInputError, match="no raw counts"):
        celltypes(section(tmp_path / "f.h5ad", uns={"focus": {"kind": "enhanced"}}), reference / "two", out)
    assert not out.exists()
    out.write_text("there")
    with pytest.raises(OutputExistsError):
        celltypes(good, reference / "two", out)


@pytest.mark.parametrize(
    "focus, options, cells, cut",
    [
        ({"footprint_um": 55.0, "footprint_shape": "circle"}, {}, 16.5, False),
        ({"footprint_um": 8.0, "footprint_shape": "square"}, {}, 4.0, True),
        ({"platform": "xenium", "footprint_um": 9.0}, {}, 1.0, False),
        ({"platform": "visium", "footprint_um": 55.0}, {"cells": 6.0}, 6.0, False),
        ({}, {}, 10.0, False),
        ({"footprint_um": 55.0}, {"unit": "cells"}, 1.0, False),
    ],
)
def test_a_location_holds_as_many_cells_as_its_area_or_its_platform_says(tmp_path, focus, options, cells, cut):
    path = section(tmp_path / "s.h5ad", uns={"focus": {"kind": "enhanced", **focus}})
    with SpatialFile(path) as file:
        found = cells_per_location(file, CellTypeOptions(**options))
    assert found[0] == pytest.approx(cells, abs=0.01) and found[1] == cut


def test_help_says_what_it_does():
    said = CliRunner().invoke(cli, ["celltypes", "--help"])
    assert said.exit_code == 0 and "--same-platform" in said.output and "focus celltypes S1.h5ad" in said.output


@pytest.mark.realdata
def test_cells_of_osmfish_are_labelled_by_cells_of_other_blocks(focus_data, tmp_path):
    from focus_cli.platforms import read

    raw = read(focus_data / "native" / "osmfish" / "osmFISH_SScortex_mouse_all_cells.loom")
    cells = raw.adata
    um = cells.obsm["spatial"] * raw.mpp
    side = np.floor((um - um.min(axis=0)) / 250).astype(int).sum(axis=1) % 2
    here, there = (
        ad.AnnData(
            sparse.csr_matrix(cells.X)[side == k],
            obs=cells.obs[["cell_type"]][side == k],
            var=pd.DataFrame(index=cells.var_names),
        )
        for k in (0, 1)
    )
    here.obsm["spatial"] = um[side == 0]
    here.write_h5ad(tmp_path / "here.h5ad")
    there.write_h5ad(tmp_path / "there.h5ad")
    build_reference(tmp_path / "there.h5ad", tmp_path / "reference", "cell_type")
    options = CellTypeOptions(unit="cells", gains=False, around=False, calibration_locations=6000)
    celltypes(tmp_path / "here.h5ad", tmp_path / "reference", tmp_path / "out.h5ad", options)
    out = ad.read_h5ad(tmp_path / "out.h5ad")
    label = here.obs["cell_type"].astype(str).to_numpy()
    assert np.mean(out.obs["cell_type"].astype(str).to_numpy() == label) > 0.72
    named = out.obsm["cell_type_proportions_high"]
    inside = [named.at[name, kind] > 0.5 if kind in named else False for name, kind in zip(out.obs_names, label)]
    assert 0.82 < np.mean(inside) < 0.97


def test_states_without_the_factors_of_the_loadings_are_refused():
    """As in a file whose sample-specific factors have another name."""

    class File:
        path = "old.h5ad"

        def obsm(self, key):
            return np.ones((4, 3)) if key == "focus_latent" else None

        def varm(self, key):
            return np.ones((6, 5))

    with pytest.raises(BadInputError, match="loadings of 5 factors and states of 3") as error:
        latent_states(File())
    assert "focus enhance" in error.value.hint

"""The joined AnnData: everything of the enhanced file, everything of the analysis results, each in its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anndata
import fake_analyses
import fake_enhanced
import numpy as np
import pandas as pd
import pytest

from focus_cli.core.errors import EXIT_USAGE, BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.reporting.export import export


@pytest.fixture(scope="module")
def joined(given, tmp_path_factory: pytest.TempPathFactory) -> anndata.AnnData:
    enhanced, analyses = given
    return anndata.read_h5ad(
        export(enhanced, list(analyses.values()), "anndata", tmp_path_factory.mktemp("out") / "a.h5ad")
    )


def test_the_enhanced_file_is_in_it_untouched(given, joined: anndata.AnnData) -> None:
    before = anndata.read_h5ad(given[0])
    assert np.array_equal(joined.X, before.X)
    for layer in before.layers:
        assert (joined.layers[layer] != before.layers[layer]).sum() == 0
    pd.testing.assert_frame_equal(joined.obs[before.obs.columns], before.obs)
    pd.testing.assert_frame_equal(joined.var[before.var.columns], before.var)
    assert joined.uns["focus"]["mpp"] == before.uns["focus"]["mpp"]


def test_analyses_are_in_it_value_by_value(given, joined: anndata.AnnData) -> None:
    analyses = {kind: anndata.read_h5ad(path) for kind, path in given[1].items()}
    assert joined.obs["domain"].tolist() == analyses["domains"].obs["domain"].tolist()
    assert joined.obs["annotation"].isna().sum() == 5
    shares = joined.obsm["cell_type_proportions"]
    assert list(shares.columns) == list(fake_analyses.TYPES)
    assert np.array_equal(shares, analyses["celltypes"].obsm["cell_type_proportions"])
    # Genes: columns of var, under the name of what was asked; genes that were not tested have none.
    assert joined.var["patterns_q"].notna().sum() == 8
    assert joined.var.loc["GENE0", "patterns_statistic"] == pytest.approx(0.8)
    # Pairs: a table, and local scores whose columns are its rows.
    assert list(joined.uns["interactions"].index) == list(analyses["interactions"].var_names)
    assert np.array_equal(joined.obsm["interactions"], analyses["interactions"].X)
    parts = sum(joined.obsm[f"why_{part}"] for part in ("image", "neighbours", "prior"))
    assert np.allclose(parts, joined.obsm["why"], atol=1e-5)
    told = json.loads(joined.uns["focus_analyses"]["domains"]["parts"])
    assert "obs/domain" in told and json.loads(joined.uns["focus"]["provenance"])["command"] == "export"


def test_names_that_clash_are_told_apart_and_order_does_not_matter(given, tmp_path: Path) -> None:
    enhanced, _ = given
    with SpatialFile(enhanced) as file:
        obs = pd.DataFrame({"reliability": np.arange(len(file.obs)) / 1000}, index=file.obs.index)
        write_analysis_result(tmp_path / "r.h5ad", file, "outcome", fake_analyses.RECORD, obs=obs)
    # The same locations in another order: names decide, not rows.
    shuffled = anndata.read_h5ad(tmp_path / "r.h5ad")[::-1].copy()
    shuffled.write_h5ad(tmp_path / "s.h5ad")
    out = anndata.read_h5ad(
        export(enhanced, [tmp_path / "r.h5ad", tmp_path / "s.h5ad"], "anndata", tmp_path / "o.h5ad")
    )
    before = anndata.read_h5ad(enhanced)
    assert np.array_equal(out.obs["reliability"], before.obs["reliability"])
    for name in ("outcome_reliability", "outcome_reliability_2"):
        assert np.array_equal(out.obs[name], np.arange(out.n_obs) / 1000)


def test_same_inputs_give_the_same_bytes(given, tmp_path: Path) -> None:
    enhanced, analyses = given
    one, two = (export(enhanced, list(analyses.values()), "anndata", tmp_path / f"{i}.h5ad") for i in (1, 2))
    assert one.read_bytes() == two.read_bytes()


def test_scanpy_takes_it(joined: anndata.AnnData) -> None:
    import scanpy as sc

    table = sc.get.obs_df(joined, keys=["GENE0", "domain"], obsm_keys=[("cell_type_proportions", "stroma")])
    assert table.shape == (joined.n_obs, 3)
    assert joined.uns["spatial"]["S1"]["images"]["hires"].ndim == 3


def test_what_cannot_be_joined_is_refused(given, tmp_path: Path) -> None:
    enhanced, analyses = given
    other = tmp_path / "S2.h5ad"
    fake_enhanced.write(fake_enhanced.enhanced("S2"), other)
    out = tmp_path / "o.h5ad"
    with pytest.raises(BadInputError, match="'S1', not 'S2'"):
        export(other, [analyses["domains"]], "anndata", out)
    with pytest.raises(BadInputError, match="not an analysis result"):
        export(enhanced, [other], "anndata", out)
    few = tmp_path / "few.h5ad"
    anndata.read_h5ad(analyses["domains"])[:20].write_h5ad(few)
    with pytest.raises(BadInputError, match="lacks 124"):
        export(enhanced, [few], "anndata", out)
    with pytest.raises(MissingResourceError):
        export(enhanced, [tmp_path / "none.h5ad"], "anndata", out)
    with pytest.raises(UsageError, match=r"does not end in \.zarr"):
        export(enhanced, [], "spatialdata", out)
    with pytest.raises(UsageError, match="not known"):
        export(enhanced, [], "loom", out)
    with pytest.raises(UsageError, match="twice"):
        export(enhanced, [analyses["domains"], analyses["domains"]], "anndata", out)
    with pytest.raises(UsageError, match="which is read"):
        export(enhanced, [], "anndata", enhanced, overwrite=True)
    with pytest.raises(UsageError, match="--genes has no meaning"):
        export(enhanced, [], "anndata", out, genes=["GENE0"])
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(OutputExistsError):
        export(enhanced, [], "anndata", out)
    assert out.read_text() == "mine" and not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_verb(given, tmp_path: Path) -> None:
    enhanced, analyses = given
    code = "from focus_cli.cli.main import main; main()"

    def focus(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)

    ran = focus("export", enhanced, analyses["domains"], "--to", "anndata", "--out", tmp_path / "o.h5ad")
    assert ran.returncode == 0, ran.stderr
    assert "domain" in anndata.read_h5ad(tmp_path / "o.h5ad").obs
    ran = focus("export", enhanced, "--to", "loom", "--out", tmp_path / "o.loom")
    assert ran.returncode == EXIT_USAGE and "vitessce" in ran.stderr and "Traceback" not in ran.stderr

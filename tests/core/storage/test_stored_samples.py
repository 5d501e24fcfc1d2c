"""What a stored sample holds is checked when it is read: counts that are counts, and as many as are stated."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pytest
from click.testing import CliRunner
from scipy import sparse

from focus_cli.cli.main import cli
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo, open_sample, write_sample
from focus_cli.model.priors.build import build_prior

SHAPE = (12, 5)


@pytest.fixture
def sample(tmp_path):
    """A stored sample of 12 locations and 5 genes."""
    return store(tmp_path / "S1", np.random.default_rng(0).poisson(3.0, SHAPE))


def store(path, values, **var):
    adata = anndata.AnnData(sparse.csr_matrix(np.asarray(values, np.float32)))
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(SHAPE[0])], [f"Gene{j}" for j in range(SHAPE[1])]
    adata.var = adata.var.assign(**var)
    xy = 100.0 * np.column_stack(np.divmod(np.arange(SHAPE[0]), 4))
    adata.obsm["spatial"], adata.obsm["spatial_um"] = xy, xy
    info = SampleInfo("S1", PlatformInfo("visium"), 1.0, Footprint("circle", 55.0, 100.0), *SHAPE)
    return write_sample(path, info, adata).path


def change(path, edit):
    """Write the counts of a sample again after `edit`."""
    adata = anndata.read_h5ad(path / "counts.h5ad")
    edit(adata)
    adata.write_h5ad(path / "counts.h5ad")


def set_one(value, dtype=np.float32):
    def edit(adata):
        adata.X = adata.X.astype(dtype)
        adata.X.data[-1] = value

    return edit


def scale(function):
    def edit(adata):
        adata.X.data = function(adata.X.data)

    return edit


NO_COUNTS = {
    "one half": set_one(0.5),
    "a fraction in float64": set_one(3 + 1e-9, np.float64),
    "almost whole": set_one(np.nextafter(np.float32(2), np.float32(3))),
    "log-normalised": scale(np.log1p),
    "divided by the standard deviation": scale(lambda x: x / x.std()),
    "means of two": scale(lambda x: x / 2),
    "negative": set_one(-1),
    "NaN": set_one(np.nan),
    "infinite": set_one(np.inf),
    "too large": set_one(1e12),
}


@pytest.mark.parametrize("name", NO_COUNTS)
def test_values_that_are_no_counts_are_refused_by_every_reader(sample, name, tmp_path):
    change(sample, NO_COUNTS[name])
    with pytest.raises(BadInputError, match=r"counts\.h5ad: X holds"):
        open_sample(sample).read()
    with pytest.raises(BadInputError, match=r"counts\.h5ad: X holds"):
        build_prior([sample], tmp_path / "prior")
    result = CliRunner().invoke(cli, ["inspect", str(sample)])
    assert result.exit_code == 3 and "no problem" not in result.output
    assert not (tmp_path / "prior").exists()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint16, bool])
def test_whole_numbers_of_any_type_are_read(sample, dtype):
    def edit(adata):
        adata.X = adata.X.astype(dtype)

    change(sample, edit)
    assert open_sample(sample).read().X.sum() > 0
    assert CliRunner().invoke(cli, ["inspect", str(sample)]).exit_code == 0


def test_intensities_of_proteins_are_read_and_no_prior_is_fitted_to_them(tmp_path):
    values = np.random.default_rng(1).gamma(2.0, 1.0, SHAPE)
    sample = store(tmp_path / "P", values, feature_types="protein")
    np.testing.assert_allclose(open_sample(sample).read().X.toarray(), values, rtol=1e-6)
    with pytest.raises(BadInputError, match="proteins"):
        build_prior([sample], tmp_path / "prior")


def test_a_protein_among_genes_excuses_no_fraction(tmp_path):
    values = np.random.default_rng(1).gamma(2.0, 1.0, SHAPE)
    sample = store(tmp_path / "P", values, feature_types=["protein", *["Gene Expression"] * 4])
    with pytest.raises(BadInputError, match="no whole number"):
        open_sample(sample).read()


@pytest.mark.parametrize("key", ["n_locations", "n_genes"])
def test_inspect_compares_what_is_stated_with_the_counts(sample, key):
    described = sample / "sample.json"
    told = json.loads(described.read_text())
    described.write_text(json.dumps(told | {key: told[key] + 1}))
    result = CliRunner().invoke(cli, ["inspect", str(sample), "--json"])
    report = json.loads(result.output)
    assert result.exit_code == 3
    assert "12 × 5 counts, sample.json states" in report["problems"][0]["message"]
    assert "preprocess" in report["problems"][0]["hint"]

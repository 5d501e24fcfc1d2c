"""Panels of proteins come in through the AnnData door: alone as features, beside genes set apart."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.platforms import read
from focus_cli.platforms.preprocessing import preprocess

RNG = np.random.default_rng(6)
INTENSITY = RNG.gamma(2.0, 3.7, (50, 4)).astype(np.float32)
COUNTS = RNG.poisson(2.0, (50, 6)).astype(np.float32)
MARKERS = ["CD3", "CD8", "PanCK", "Ki67/MKI67"]


def make(tmp_path, values, names, types, name="a.h5ad", **layers):
    adata = anndata.AnnData(values, var=pd.DataFrame({"feature_types": types}, index=names))
    adata.obs_names = [f"c{i}" for i in range(values.shape[0])]
    adata.obsm["spatial"] = np.column_stack(np.divmod(np.arange(values.shape[0]), 7)) * 12.0
    for key, layer in layers.items():
        adata.layers[key] = layer
    adata.write_h5ad(tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("kind", ["protein", "Protein Expression", "Antibody Capture"])
def test_a_panel_of_proteins_keeps_its_intensities(tmp_path, kind):
    sample = read(make(tmp_path, INTENSITY, MARKERS, kind), mpp=0.5)
    np.testing.assert_allclose(sample.adata.X.toarray(), INTENSITY)
    assert set(sample.adata.var["feature_types"]) == {"protein"}
    assert list(sample.adata.var_names) == MARKERS
    assert sample.platform.technology == "imaging"
    assert any("4 proteins" in w and "does not hold" in w for w in sample.warnings)


def test_the_type_is_stored(tmp_path):
    stored = preprocess(make(tmp_path, INTENSITY, MARKERS, "protein"), tmp_path / "S", "S", mpp=0.5)
    adata = stored.read()
    assert set(adata.var["feature_types"]) == {"protein"}
    np.testing.assert_allclose(adata.X.toarray(), INTENSITY)
    assert any("does not hold" in w for w in stored.info.warnings)


def test_proteins_beside_genes_are_set_apart_and_stored(tmp_path):
    both = sparse.csr_matrix(np.hstack([COUNTS, INTENSITY]))
    names = [*[f"Gene{j}" for j in range(6)], *MARKERS]
    path = make(tmp_path, both, names, ["Gene Expression"] * 6 + ["Antibody Capture"] * 4)
    sample = read(path, mpp=0.5)
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)
    assert list(sample.adata.obsm["protein"].columns) == ["CD3", "CD8", "PanCK", "Ki67_MKI67"]
    np.testing.assert_allclose(sample.adata.obsm["protein"].to_numpy(), INTENSITY)
    assert any("4 proteins are kept aside" in w for w in sample.warnings)
    adata = preprocess(path, tmp_path / "S", "S", mpp=0.5).read()
    np.testing.assert_allclose(adata.obsm["protein"].loc[adata.obs_names].to_numpy(), INTENSITY[adata.X.sum(1).A1 > 0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (INTENSITY - 20, "negative"),
        (np.where(INTENSITY > 5, np.nan, INTENSITY), "NaN"),
        (INTENSITY * 0, "no counts"),
        (INTENSITY.astype(np.float64) * 1e40, "not a valid count"),
    ],
)
def test_bad_intensities_are_refused(tmp_path, values, message):
    with pytest.raises(BadInputError, match=message):
        read(make(tmp_path, values, MARKERS, "protein"), mpp=0.5)


def test_intensities_that_nobody_calls_proteins_are_refused_with_a_hint(tmp_path):
    with pytest.raises(BadInputError, match="normalised") as refusal:
        read(make(tmp_path, INTENSITY, MARKERS, "Gene Expression"), mpp=0.5)
    assert "feature_types" in refusal.value.hint


def test_proteins_do_not_hide_normalised_genes(tmp_path):
    both = np.hstack([np.log1p(COUNTS), INTENSITY])
    names = [*[f"Gene{j}" for j in range(6)], *MARKERS]
    with pytest.raises(BadInputError, match="log-normalised"):
        read(make(tmp_path, both, names, ["Gene Expression"] * 6 + ["protein"] * 4), mpp=0.5)

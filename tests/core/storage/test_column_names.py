"""Names of cell types go through a store whatever signs they hold."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData, read_h5ad
from hypothesis import given
from hypothesis import strategies as st

from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.storage import write_anndata, write_elements
from focus_cli.core.storage.column_names import stored_names

NAMES = ["T/NK", "T|NK", "Luminal (ER+/PR+)", "plain", "a/b/c", "/", ".", "..", "_index", "Fibroblast, α-SMA+", "1"]


def table(names) -> pd.DataFrame:
    values = np.arange(3 * len(names), dtype=np.float32).reshape(3, -1)
    return pd.DataFrame(values, index=["s0", "s1", "s2"], columns=names)


def located(names) -> AnnData:
    adata = AnnData(obs=pd.DataFrame(index=["s0", "s1", "s2"]), obsm={"spatial": np.eye(3)[:, :2]})
    adata.obsm["types"] = table(names)
    return adata


@given(st.lists(st.text(max_size=12), unique=True, max_size=12))
def test_stored_names_are_keys_and_stay_different(names):
    stored = stored_names(names)
    assert len(set(stored)) == len(names)
    assert all(name and "/" not in name and "\x00" not in name and name not in (".", "..", "_index") for name in stored)
    assert stored_names(stored) == stored


def test_names_come_back_from_a_file_and_no_key_holds_a_slash(tmp_path):
    adata = located(NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        write_anndata(adata, tmp_path / "x.h5ad")
    assert adata.obsm["types"].columns.tolist() == NAMES and "focus_columns" not in adata.uns
    with SpatialFile(tmp_path / "x.h5ad") as file:
        pd.testing.assert_frame_equal(file.obsm("types"), table(NAMES), check_names=False)
    with h5py.File(tmp_path / "x.h5ad") as file:
        assert all(isinstance(node, h5py.Dataset) for node in file["obsm/types"].values())
    whole = read_h5ad(tmp_path / "x.h5ad")
    assert whole.uns["focus_columns"]["types"].tolist() == NAMES
    np.testing.assert_array_equal(whole.obsm["types"].to_numpy(), table(NAMES).to_numpy())


def test_ordinary_names_are_stored_as_they_are(tmp_path):
    write_anndata(located(["T cell", "B cell"]), tmp_path / "x.h5ad")
    whole = read_h5ad(tmp_path / "x.h5ad")
    assert whole.obsm["types"].columns.tolist() == ["T cell", "B cell"] and not whole.uns


@pytest.mark.parametrize("kind", ["h5", "zarr"])
def test_a_table_that_is_added_keeps_its_names(tmp_path, kind):
    handle = h5py.File(tmp_path / "x.h5", "w") if kind == "h5" else zarr.open_group(tmp_path / "x.zarr", mode="w")
    write_elements(handle, "obsm", {"types": table(NAMES)})
    assert sorted(handle["obsm/types"]) == sorted([*stored_names(NAMES), "_index"])
    assert [v.decode() if isinstance(v, bytes) else v for v in handle["uns/focus_columns/types"][:]] == NAMES


def test_files_of_before_are_read_as_they_are(tmp_path):
    adata = located(["T/NK", "plain"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            adata.write_h5ad(tmp_path / "x.h5ad")
        except ValueError:
            pytest.skip("this anndata refuses slashes")
    with SpatialFile(tmp_path / "x.h5ad") as file:
        assert file.obsm("types").columns.tolist() == ["T/NK", "plain"]


def test_an_overview_of_a_cohort_names_types_as_they_are(tmp_path):
    from focus_cli.reporting.cohort.analyses import _celltypes

    adata = located([])
    shares = np.array([[0.5, 0.25, 0.25]] * 3, np.float32)
    adata.obsm["cell_type_proportions"] = pd.DataFrame(shares, index=adata.obs_names, columns=["T/NK", "B", "a/b"])
    write_anndata(adata, tmp_path / "x.h5ad")
    assert _celltypes(None, tmp_path / "x.h5ad", "x").share == {"T/NK": 0.5, "B": 0.25, "a/b": 0.25}

"""AnnData files are written so that readers older than the installed libraries understand them."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad

from focus_cli.core.storage import write_anndata, write_elements


def _encodings(path) -> dict[str, str]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, node: found.update({name: node.attrs.get("encoding-type", "")}))
    return found


def _table() -> AnnData:
    names = [f"spot {i}" for i in range(4)]
    obs = pd.DataFrame({"label": ["a", "b", "c", "d"], "organ": ["x"] * 4}, index=names)
    obs["note"] = pd.array(["p", None, "q", "r"], dtype="string")
    adata = AnnData(np.zeros((4, 2), np.float32), obs=obs, var=pd.DataFrame(index=["G1", "G2"]))
    adata.obsm["table"] = pd.DataFrame({"k": ["1", "2", "3", "4"]}, index=names)
    adata.uns["names"] = ["a", "b"]
    return adata


@pytest.mark.parametrize("inferred", [False, True])
def test_texts_have_the_encoding_that_old_readers_know(tmp_path, inferred):
    """With and without the text type that pandas 3 infers."""
    if inferred and pd.__version__ < "2.3":
        pytest.skip("the text type of pandas 3 is not complete in this pandas")
    with pd.option_context("future.infer_string", inferred):
        adata = _table()
        write_anndata(adata, tmp_path / "a.h5ad")
    assert not {e for e in _encodings(tmp_path / "a.h5ad").values() if e.startswith("nullable-string")}
    back = read_h5ad(tmp_path / "a.h5ad")
    assert list(back.obs_names) == [f"spot {i}" for i in range(4)]
    assert list(back.obs["label"].astype(object)) == ["a", "b", "c", "d"]
    assert list(back.obs["note"].isna()) == [False, True, False, False]
    assert list(back.obsm["table"]["k"].astype(object)) == ["1", "2", "3", "4"]


def test_elements_are_replaced_and_groups_made(tmp_path):
    write_anndata(_table(), tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        write_elements(file, "uns/focus", {"kind": "enhanced"})
        write_elements(file, "uns/focus", {"kind": "refined", "mpp": 0.5})
        write_elements(file, "", {"obs": pd.DataFrame({"n": [1, 2, 3, 4]}, index=[f"spot {i}" for i in range(4)])})
    back = read_h5ad(tmp_path / "a.h5ad")
    assert back.uns["focus"]["kind"] == "refined"
    assert back.uns["focus"]["mpp"] == 0.5
    assert list(back.obs.columns) == ["n"]

"""The folder for Vitessce: what lies in it is what was found, and every address of its configuration is there."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pytest
import zarr

from focus_cli.core.errors import UsageError
from focus_cli.reporting.export import export
from focus_cli.reporting.export.vitessce_config import Source, page, view_config


@pytest.fixture(scope="module")
def folder(given, tmp_path_factory: pytest.TempPathFactory) -> Path:
    enhanced, analyses = given
    return export(enhanced, list(analyses.values()), "vitessce", tmp_path_factory.mktemp("out") / "v")


def test_values_and_groups(given, folder: Path) -> None:
    before, data = anndata.read_h5ad(given[0]), anndata.read_zarr(folder / "data.zarr")
    assert sorted(data.var_names) == sorted(before.var_names)
    assert np.array_equal(np.asarray(data.X), before[:, data.var_names].X)
    assert np.allclose(data.obsm["spatial"], before.obsm["spatial_um"])  # µm
    assert list(data.obs["domain"]) == list(anndata.read_h5ad(given[1]["domains"]).obs["domain"])
    assert (data.obs["annotation"] == "not known").sum() == 5
    shares = anndata.read_zarr(folder / "shares.zarr")
    assert list(shares.var_names) == ["epithelium", "stroma", "B cell"]
    # Format 2, which all browsers' readers know, and few genes in a chunk.
    assert zarr.open_group(str(folder / "data.zarr"), mode="r").metadata.zarr_format == 2
    assert zarr.open_array(str(folder / "data.zarr" / "X"), mode="r").chunks == (before.n_obs, 16)


def test_picture_lies_under_the_locations(given, folder: Path) -> None:
    image = zarr.open_group(str(folder / "image.ome.zarr"), mode="r")
    told = image.attrs["multiscales"][0]
    assert told["version"] == "0.4" and [a.get("unit") for a in told["axes"]] == [None, "micrometer", "micrometer"]
    hires = anndata.read_h5ad(given[0]).uns["spatial"]["S1"]["images"]["hires"]
    assert np.array_equal(image["0"][:], hires.transpose(2, 0, 1))
    assert told["datasets"][0]["coordinateTransformations"][0]["scale"] == [1.0, 5.0, 5.0]  # 0.5 µm × 10


def test_configuration_names_what_is_there(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    for file in config["datasets"][0]["files"]:
        assert (folder / file["url"]).is_dir()
    sets = config["datasets"][0]["files"][0]["options"]["obsSets"]
    assert [s["path"] for s in sets] == ["obs/domain", "obs/cell_type", "obs/annotation", "obs/niche"]
    scopes = config["coordinationSpace"]
    for view in config["layout"]:
        for kind, scope in view["coordinationScopes"].items():
            for name in scope if isinstance(scope, list) else [scope]:
                assert name in scopes[kind], f"{view['component']}: {kind} {name}"
        assert view["x"] + view["w"] <= 12
    for layer, settings in scopes["metaCoordinationScopesBy"]["A"].items():
        for kind, chosen in settings.items():
            for at, scope in chosen.items():
                assert at in scopes[layer]
                assert all(s in scopes[kind] for s in (scope if isinstance(scope, list) else [scope]))


def test_a_sample_without_picture_groups_and_scale() -> None:
    bare = Source("a<b", True, 1.0, [], False, False, None)
    config = view_config(bare)
    assert len(config["datasets"][0]["files"]) == 1
    assert "a&lt;b" in page(bare.name) and "a<b" not in page(bare.name)


def test_genes_are_chosen_or_asked_for(given, tmp_path: Path) -> None:
    enhanced, _ = given
    out = export(enhanced, [], "vitessce", tmp_path / "v", genes=["HIDDEN1", "GENE3"])
    assert list(anndata.read_zarr(out / "data.zarr").var_names) == ["HIDDEN1", "GENE3"]
    with pytest.raises(UsageError, match="NOSUCH"):
        export(enhanced, [], "vitessce", tmp_path / "w", genes=["NOSUCH"])
    with pytest.raises(UsageError, match="looks like a file"):
        export(enhanced, [], "vitessce", tmp_path / "w.zarr")
    assert not (tmp_path / "w").exists()


def test_the_configuration_is_valid_for_the_library_of_vitessce(folder: Path) -> None:
    vitessce = pytest.importorskip("vitessce")
    config = json.loads((folder / "config.json").read_text())
    assert vitessce.VitessceConfig.from_dict(config).to_dict(base_url="")["version"] == config["version"]

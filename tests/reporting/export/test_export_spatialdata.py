"""The SpatialData store, read back by the library and by FOCUS's own reader."""

from __future__ import annotations

from pathlib import Path

import anndata
import fake_enhanced
import numpy as np
import pytest

from focus_cli.reporting.export import export

spatialdata = pytest.importorskip("spatialdata")


@pytest.fixture(scope="module")
def store(given, tmp_path_factory: pytest.TempPathFactory) -> Path:
    enhanced, analyses = given
    return export(enhanced, list(analyses.values()), "spatialdata", tmp_path_factory.mktemp("out") / "S1.zarr")


def test_values_and_analyses_come_back(given, store: Path) -> None:
    before, read = anndata.read_h5ad(given[0]), spatialdata.read_zarr(store)
    table = read.tables["table"]
    assert np.allclose(np.asarray(table.X), before.X)
    assert (table.layers["counts"] != before.layers["counts"]).nnz == 0
    assert np.allclose(np.asarray(table.layers["std"]), before.layers["std"])
    assert table.obs["domain"].value_counts().sum() == before.n_obs
    assert table.obsm["cell_type_proportions"].shape == (before.n_obs, 3)
    assert table.obs["region"].unique().tolist() == ["S1_locations"]


def test_outlines_lie_on_the_picture(given, store: Path) -> None:
    from spatialdata.transformations import get_transformation

    before, read = anndata.read_h5ad(given[0]), spatialdata.read_zarr(store)
    shapes = read.shapes["S1_locations"]
    assert np.allclose(np.c_[shapes.geometry.x, shapes.geometry.y], before.obsm["spatial"])
    assert np.allclose(shapes["radius"], 55.0)  # px: 110 px across, as the vendor says
    image = read.images["S1_image"]
    way = get_transformation(image, "global").to_affine_matrix(("x", "y"), ("x", "y"))
    # The picture holds one pixel for ten of the full resolution.
    assert np.allclose(way, np.diag([10.0, 10.0, 1.0]))
    um = get_transformation(shapes, "um").to_affine_matrix(("x", "y"), ("x", "y"))
    assert np.allclose(um, np.diag([0.5, 0.5, 1.0]))


def test_focus_reads_its_own_store(given, store: Path) -> None:
    from focus_cli.platforms import read

    sample = read(store, platform="spatialdata", mpp=0.5)
    before = anndata.read_h5ad(given[0])
    # What was measured, not the estimates.
    assert sample.adata.X.sum() == before.layers["counts"].sum()


def test_bins_are_squares(tmp_path: Path) -> None:
    adata = fake_enhanced.enhanced("S1")
    adata.uns["focus"] |= {"footprint_shape": "square", "footprint_um": 8.0}
    fake_enhanced.write(adata, tmp_path / "bins.h5ad")
    read = spatialdata.read_zarr(export(tmp_path / "bins.h5ad", [], "spatialdata", tmp_path / "b.zarr"))
    shapes = read.shapes["S1_locations"]
    assert np.allclose(shapes.area, 16.0**2)
    assert np.allclose(np.c_[shapes.centroid.x, shapes.centroid.y], adata.obsm["spatial"])


def test_without_a_picture_there_is_none(tmp_path: Path) -> None:
    adata = fake_enhanced.enhanced("S1")
    del adata.uns["spatial"]
    fake_enhanced.write(adata, tmp_path / "bare.h5ad")
    read = spatialdata.read_zarr(export(tmp_path / "bare.h5ad", [], "spatialdata", tmp_path / "b.zarr"))
    assert not read.images and len(read.shapes["S1_locations"]) == adata.n_obs

"""Each layout is its vendor's: independent readers open it, and what they read is consistent."""

from __future__ import annotations

import json

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy.spatial import cKDTree

from focus_cli import platforms

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
POSITIONS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]


def test_scanpy_reads_the_visium_folder(small):
    study = small("visium")
    adata = sc.read_visium(study.raw)
    truth = study.truth
    assert adata.shape == (truth.n_obs, 60)
    assert list(adata.obs_names) == sorted(truth.obs_names)
    assert np.array_equal(adata.obsm["spatial"], truth.obsm["spatial"])  # (x, y), not (y, x)
    assert (adata.obs["in_tissue"] == 1).all()
    assert set(adata.uns["spatial"]) == {"S1"}
    assert set(adata.uns["spatial"]["S1"]["images"]) == {"hires", "lowres"}
    assert list(adata.var["gene_ids"]) == list(truth.var["gene_ids"][truth.var["measured"]])
    umi = np.asarray(adata.X.sum(axis=1)).ravel()
    assert 1.5 * 60 < np.median(umi) < 8 * 60
    assert 0.15 < (adata.X.toarray() == 0).mean() < 0.6


def test_visium_spots_lie_on_the_true_array(small):
    spots = pd.read_csv(small("visium").raw / "spatial" / "tissue_positions.csv")
    assert list(spots.columns) == POSITIONS
    assert ((spots["array_row"] + spots["array_col"]) % 2 == 0).all()
    assert spots["array_row"].between(0, 77).all() and spots["array_col"].between(0, 127).all()
    assert set(spots["in_tissue"]) == {0, 1}
    xy = spots[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    assert (xy > 0).all() and (xy < 1200).all()
    nearest = cKDTree(xy).query(xy, k=2)[0][:, 1]
    assert np.allclose(nearest, 100, atol=1.5)  # whole pixels of 1 µm
    x = np.polyfit(spots["array_col"], xy[:, 0], 1)[0]
    y = np.polyfit(spots["array_row"], xy[:, 1], 1)[0]
    assert (x, y) == (pytest.approx(50, rel=1e-3), pytest.approx(100 * np.sqrt(3) / 2, rel=1e-3))
    assert spots["barcode"].str.fullmatch("[ACGT]{16}-1").all() and spots["barcode"].is_unique
    assert list(spots["barcode"]) != sorted(spots["barcode"])  # unlike the matrix


def test_scale_factors_are_those_of_space_ranger(small):
    factors = json.loads((small("visium").raw / "spatial" / "scalefactors_json.json").read_text())
    assert factors["spot_diameter_fullres"] == pytest.approx(65)
    assert factors["fiducial_diameter_fullres"] == pytest.approx(105)
    assert "microns_per_pixel" not in factors


def test_the_matrix_has_the_groups_of_version_3(small):
    with h5py.File(small("visium").raw / "filtered_feature_bc_matrix.h5") as file:
        matrix = file["matrix"]
        assert set(matrix) == {"barcodes", "data", "indices", "indptr", "shape", "features"}
        assert set(matrix["features"]) == {"id", "name", "feature_type", "genome", "_all_tag_keys"}
        assert matrix["features/_all_tag_keys"][:].tolist() == [b"genome"]
        assert list(matrix["shape"]) == [60, len(matrix["barcodes"])]
        assert matrix["indptr"][-1] == len(matrix["data"])
        assert (matrix["data"][:] > 0).all()
        assert {"filetype", "library_ids", "software_version", "chemistry_description"} <= set(file.attrs)
        assert file.attrs["filetype"] == b"matrix"


def test_hd_bins_nest_and_sum_to_the_coarser_ones(small):
    outs = small("visium_hd").raw / "binned_outputs"
    tables, counts = {}, {}
    for size in (8, 16):
        folder = outs / f"square_{size:03d}um"
        table = pd.read_parquet(folder / "spatial" / "tissue_positions.parquet")
        assert list(table.columns) == POSITIONS
        factors = json.loads((folder / "spatial" / "scalefactors_json.json").read_text())
        assert factors["bin_size_um"] == size and factors["microns_per_pixel"] == 1.0
        assert factors["spot_diameter_fullres"] == pytest.approx(size)
        tables[size] = table.set_index("barcode")
        counts[size] = sc.read_10x_h5(folder / "filtered_feature_bc_matrix.h5")
        on = table["barcode"][table["in_tissue"] == 1]
        assert list(counts[size].obs_names) == sorted(on)
    fine = tables[8].loc[counts[8].obs_names]
    parent = [f"s_016um_{r // 2:05d}_{c // 2:05d}-1" for r, c in zip(fine["array_row"], fine["array_col"])]
    summed = counts[8].to_df().groupby(np.array(parent)).sum()
    merged = counts[16].to_df()
    assert np.array_equal(summed.loc[merged.index], merged)
    px = tables[16].loc[parent, ["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    off = np.abs(px - fine[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy())
    assert np.allclose(off, 4.0)
    # Columns run against x, as on some instruments: positions come from the file, not from the index.
    assert np.polyfit(fine["array_col"], fine["pxl_col_in_fullres"], 1)[0] == pytest.approx(-8)
    umi = np.asarray(counts[8].X.sum(axis=1)).ravel()
    assert 4 < np.median(umi) < 20


def test_legacy_tables_agree(small):
    study = small("legacy_st")
    counts = pd.read_csv(study.raw / "ST-cnts" / "S1.tsv.gz", sep="\t", index_col=0)
    spots = pd.read_csv(study.raw / "ST-spotfiles" / "S1_selection.tsv", sep="\t")
    assert list(spots.columns) == ["x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected"]
    spots.index = [f"{x}x{y}" for x, y in zip(spots["x"], spots["y"])]
    assert list(counts.index) == list(spots.index) == list(study.truth.obs_names)
    assert np.abs(spots["new_x"] - spots["x"]).max() < 0.3
    assert np.allclose(np.diff(spots["pixel_x"]), 200 * np.diff(spots["new_x"]), atol=0.3)
    assert np.allclose(study.truth.obsm["spatial"], spots[["pixel_x", "pixel_y"]])


def test_the_anndata_file_is_raw_and_drawn_by_scanpy(small):
    study = small("anndata")
    adata = anndata.read_h5ad(study.raw / "S1.h5ad")
    assert adata.X.format == "csr" and (adata.X.data == np.rint(adata.X.data)).all()
    assert np.array_equal(adata.obsm["spatial"], study.truth.obsm["spatial"])
    library = adata.uns["spatial"]["S1"]
    side = library["images"]["hires"].shape[0]
    assert side == pytest.approx(1200 * library["scalefactors"]["tissue_hires_scalef"])


@pytest.mark.parametrize("platform", ["visium", "visium_hd", "legacy_st", "anndata"])
def test_our_readers_recognise_each_layout(small, platform):
    study = small(platform)
    row = pd.read_csv(study.path / "samples.tsv", sep="\t").iloc[0]
    path = study.path / row["path"]
    assert platforms.detect(path).platform == platform
    sample = platforms.read(path, image=study.path / row["image"])
    assert sample.platform.name == platform
    assert sample.mpp == pytest.approx(1.0, rel=2e-3)
    truth = study.truth
    assert set(truth.obs_names) <= set(sample.adata.obs_names)
    assert np.allclose(sample.adata[truth.obs_names].obsm["spatial_um"], truth.obsm["spatial_um"], atol=3.0)
    assert sample.footprint.size_um == truth.uns["focus_truth"]["footprint"]["size_um"]

"""Real vendor folders against independent readings by scanpy, pandas, SciPy and h5py."""

import gzip
import json

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import io, sparse
from scipy.spatial import cKDTree

from focus_cli.core.errors import BadInputError
from focus_cli.platforms import describe, detect, read

pytestmark = pytest.mark.realdata


def by_scanpy(path):
    import scanpy as sc

    adata = sc.read_10x_h5(path)
    return adata, adata.var["gene_ids"].to_list()


def positions_of(path, header):
    table = pd.read_csv(path, header=header, index_col=0)
    table.columns = ["in_tissue", "array_row", "array_col", "y", "x"]
    return table


def check_positions(sample, table):
    table = table.loc[sample.adata.obs_names]
    np.testing.assert_allclose(sample.adata.obsm["spatial"], table[["x", "y"]])
    for key in ("in_tissue", "array_row", "array_col"):
        np.testing.assert_array_equal(sample.adata.obs[key], table[key])


def test_space_ranger_1(focus_data):
    folder = focus_data / "native" / "visium_v1"
    sample = read(folder)
    expected, ids = by_scanpy(folder / "filtered_feature_bc_matrix.h5")
    assert (sample.platform.name, sample.platform.version) == ("visium", "1")
    assert (sample.adata.X != expected.X).nnz == 0
    assert list(sample.adata.var["gene_ids"]) == ids
    assert list(sample.adata.obs_names) == list(expected.obs_names)
    check_positions(sample, positions_of(folder / "spatial" / "tissue_positions_list.csv", None))
    # The diameter that Space Ranger states is 65 µm in this version; the pitch agrees with it.
    factors = json.loads((folder / "spatial" / "scalefactors_json.json").read_text())
    assert factors["spot_diameter_fullres"] * sample.mpp == pytest.approx(65, rel=0.01)
    assert sample.image_scale == factors["tissue_hires_scalef"]


def test_space_ranger_1_raw_only(focus_data):
    folder = focus_data / "native" / "visium_v1_raw"
    sample = read(folder)
    expected, ids = by_scanpy(folder / "raw_feature_bc_matrix.h5")
    assert (sample.adata.X != expected.X).nnz == 0
    assert list(sample.adata.var["gene_ids"]) == ids
    check_positions(sample, positions_of(folder / "spatial" / "tissue_positions_list.csv", None))
    assert 0 < sample.adata.obs["in_tissue"].sum() < 50
    assert sample.image_path is None  # the low-resolution thumbnail is too coarse
    assert sample.mpp == pytest.approx(65 / 89.44476048022638, rel=0.01)


def test_space_ranger_2(focus_data):
    folder = focus_data / "native" / "visium_v2"
    sample = read(folder)
    matrix = io.mmread(folder / "filtered_feature_bc_matrix" / "matrix.mtx").T
    np.testing.assert_array_equal(sample.adata.X.toarray(), matrix.toarray())
    assert list(sample.adata.var_names) == ["ACPP", "KLK3", "MSMB", "TGM4", "TAGLN"]
    check_positions(sample, positions_of(folder / "spatial" / "tissue_positions.csv", 0))
    nearest = cKDTree(sample.adata.obsm["spatial_um"]).query(sample.adata.obsm["spatial_um"], k=2)[0][:, 1]
    assert np.median(nearest) == pytest.approx(100, rel=0.01)
    assert sample.image_path.name == "tissue_hires_image.png"  # not aligned_fiducials, detected_tissue_image


def test_merfish_in_a_folder_of_10x(focus_data):
    folder = focus_data / "native" / "merfish_mtx"
    table = pd.read_csv(folder / "spatial" / "tissue_position_list.csv.gz", header=None)
    values = io.mmread(folder / "filtered_feature_bc_matrix" / "matrix.mtx.gz")
    assert table.shape == (6995, 3) and np.any(values.data != np.rint(values.data))  # no spots, and no counts
    with pytest.raises(BadInputError, match="names with x and y, as of another instrument"):
        read(folder)
    assert describe(folder)["problems"][0]["exit_code"] == 3


def test_mouse_colon_with_its_image(focus_data):
    folder = focus_data / "sections" / "visium_colon"
    sample = read(folder)
    expected, ids = by_scanpy(folder / "filtered_feature_bc_matrix.h5")
    assert (sample.platform.name, sample.platform.version) == ("visium", "1")
    assert (sample.adata.X != expected.X).nnz == 0 and sample.adata.shape == (1302, 4338)
    assert list(sample.adata.var["gene_ids"]) == ids
    assert list(sample.adata.obs_names) == list(expected.obs_names)
    check_positions(sample, positions_of(folder / "spatial" / "tissue_positions_list.csv", None))
    with Image.open(sample.image_path) as image:
        assert image.size == (3089, 5973)
    assert (sample.image_scale, sample.warnings) == (1.0, [])
    nearest = cKDTree(sample.adata.obsm["spatial_um"]).query(sample.adata.obsm["spatial_um"], k=2)[0][:, 1]
    assert np.median(nearest) == pytest.approx(100, rel=0.01)


def test_visium_hd_layout(focus_data):
    folder = focus_data / "native" / "visium_hd"
    sample = read(folder)
    square = folder / "binned_outputs" / "square_008um"
    expected, _ = by_scanpy(square / "filtered_feature_bc_matrix.h5")
    assert sample.platform.name == "visium_hd"
    assert (sample.adata.X != expected.X).nnz == 0
    table = pd.read_parquet(square / "spatial" / "tissue_positions.parquet").set_index("barcode")
    table.columns = ["in_tissue", "array_row", "array_col", "y", "x"]
    check_positions(sample, table)
    # These are ordinary Visium spots in an HD folder: the scale factors contradict the array, and it is said.
    assert any("50.0 % apart" in w for w in sample.warnings)


def test_visium_hd_mismatch_is_reported(focus_data):
    folder = focus_data / "native" / "visium_hd"
    square = folder / "binned_outputs" / "square_016um"
    with h5py.File(square / "filtered_feature_bc_matrix.h5") as file:
        barcodes = file["matrix/barcodes"].asstr()[:]
    known = set(pd.read_parquet(square / "spatial" / "tissue_positions.parquet")["barcode"])
    n = sum(b in known for b in barcodes)
    with pytest.raises(BadInputError, match=f"positions do not match the matrix: {n} of {len(barcodes)} barcodes"):
        read(folder, bin_um=16)


def test_visium_hd_without_molecules(focus_data):
    folder = focus_data / "native" / "visium_hd_2um"
    assert detect(folder).platform == "visium_hd"
    with pytest.raises(BadInputError, match="no counts"):
        read(folder)
    assert describe(folder)["problems"][0]["exit_code"] == 3


@pytest.mark.parametrize("section", ["C2", "C5"])
def test_legacy_breast(focus_data, section):
    folder = focus_data / "st_her2_breast"
    sample = read(folder / section)
    with gzip.open(folder / "ST-cnts" / f"{section}.tsv.gz", "rt") as stream:
        genes = stream.readline().rstrip("\n").split("\t")[1:]
        rows = {}
        for line in stream:
            name, *values = line.rstrip("\n").split("\t")
            rows[name] = np.array(values, dtype=np.float32)
    assert list(sample.adata.var_names) == genes
    assert list(sample.adata.obs_names) == list(rows)
    assert (sparse.csr_matrix(np.stack(list(rows.values()))) != sample.adata.X).nnz == 0
    spots = pd.read_csv(folder / "ST-spotfiles" / f"{section}_selection.tsv", sep="\t")
    spots = spots.set_index(spots["x"].astype(str) + "x" + spots["y"].astype(str)).loc[sample.adata.obs_names]
    np.testing.assert_allclose(sample.adata.obsm["spatial"], spots[["pixel_x", "pixel_y"]])
    # Five columns of the array are 1000 µm.
    apart = spots.merge(spots.assign(x=spots["x"] - 5), on=["x", "y"], suffixes=("", "_5"))
    assert 1000 / (apart["pixel_x_5"] - apart["pixel_x"]).median() == pytest.approx(sample.mpp, rel=0.015)
    assert sample.image_path.parent.name == section


def test_legacy_section_without_image(focus_data):
    sample = read(focus_data / "st_her2_breast" / "ST-cnts" / "E1.tsv.gz")
    assert sample.image_path is None
    assert sample.adata.n_obs == 587
    assert sample.mpp == pytest.approx(0.687, rel=0.01)  # the other patients' sections have the same scanner


def test_kidney_visium_hd(focus_data):
    folder = focus_data / "visium_hd_kidney"
    sample = read(folder)
    square = folder / "binned_outputs" / "square_008um"
    with h5py.File(square / "filtered_feature_bc_matrix.h5") as file:
        group = file["matrix"]
        total, n_values = int(group["data"][:].sum()), len(group["data"])
        some = slice(int(group["indptr"][1000]), int(group["indptr"][1001]))
        bin_1000 = dict(zip(group["indices"][some].tolist(), group["data"][some].tolist()))
    adata = sample.adata
    assert adata.shape == (255_967, 18_084)
    assert (int(adata.X.sum(dtype=np.float64)), adata.X.nnz) == (total, n_values)
    assert dict(zip(adata.X[1000].indices.tolist(), adata.X[1000].data.astype(int).tolist())) == bin_1000
    table = pd.read_parquet(square / "spatial" / "tissue_positions.parquet").set_index("barcode")
    table = table.loc[adata.obs_names]
    xy = table[["pxl_col_in_fullres", "pxl_row_in_fullres"]]
    np.testing.assert_array_equal(adata.obsm["spatial"], xy)
    assert sample.mpp == 2.005558977993242
    with Image.open(sample.image_path) as image:
        assert image.size == (1736, 2684)
    assert (sample.image_scale, sample.warnings) == (1.0, [])


def test_kidney_merged_to_24_um(focus_data):
    folder = focus_data / "visium_hd_kidney"
    sample = read(folder, bin_um=24)
    square = folder / "binned_outputs" / "square_008um"
    with h5py.File(square / "filtered_feature_bc_matrix.h5") as file:
        group = file["matrix"]
        counts = sparse.csr_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), (255_967, 18_084))
    table = pd.read_parquet(square / "spatial" / "tissue_positions.parquet")
    assert sample.adata.X.sum(dtype=np.float64) == counts.sum()
    inside = (table["array_row"] // 3 == 40) & (table["array_col"] // 3 == 50)
    expected = np.asarray(counts[np.flatnonzero(inside)].sum(axis=0)).ravel()
    np.testing.assert_array_equal(sample.adata["s_024um_00040_00050-1"].X.toarray().ravel(), expected)
    xy = table.loc[inside, ["pxl_col_in_fullres", "pxl_row_in_fullres"]].mean()
    np.testing.assert_allclose(sample.adata["s_024um_00040_00050-1"].obsm["spatial"][0], xy)

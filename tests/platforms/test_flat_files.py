"""Files downloaded one by one, with the sample's name in front, in one folder: read, or told apart by name."""

import gzip
import shutil

import numpy as np
import pytest
from raw_folders import write_flat, write_visium

from focus_cli.core.errors import MissingResourceError, UsageError
from focus_cli.platforms import describe, detect, read

H5 = "filtered_feature_bc_matrix.h5"


@pytest.fixture(scope="module")
def raws(tmp_path_factory):
    """Two samples on the same array with other counts, as h5 and as three files."""
    top = tmp_path_factory.mktemp("raw")
    return {
        (seed, matrix): write_visium(
            top / f"{matrix}{seed}", n_rows=12, n_cols=10, image=None, matrix=matrix, seed=seed
        )
        for seed in (0, 1)
        for matrix in ("h5", "mtx.gz")
    }


def check(sample, raw):
    np.testing.assert_array_equal(sample.adata.X.toarray(), raw.counts)
    assert list(sample.adata.obs_names) == list(raw.positions.index)
    xy = raw.positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(sample.adata.obsm["spatial"], xy)
    assert list(sample.adata.var["gene_ids"]) == raw.gene_ids
    assert sample.mpp == pytest.approx(raw.mpp, rel=1e-6)


@pytest.mark.parametrize("matrix", ["h5", "mtx.gz"])
@pytest.mark.parametrize(
    ("front", "between", "listed", "packed"),
    [
        ("GSM4565823_P1_", "", True, True),
        ("GSM4565823_P1-", "spatial_", True, True),
        ("GSM4565823_P1_", "spatial-", False, False),
        ("P1.", "", False, True),
        ("", "", True, True),
    ],
)
def test_one_sample_is_read_whatever_stands_in_front(raws, tmp_path, matrix, front, between, listed, packed):
    raw = raws[0, matrix]
    write_flat(raw, tmp_path / "S", front, between=between, listed=listed, gz=packed)
    assert detect(tmp_path / "S").platform == "visium"
    sample = read(tmp_path / "S")
    check(sample, raw)
    (name, entry), *_ = sample.adata.uns["spatial"].items()
    assert name == (front.rstrip("_-.") or "S")
    assert entry["scalefactors"]["spot_diameter_fullres"] == 65 / raw.mpp
    assert entry["images"]["hires"].dtype == np.uint8
    if packed:  # a packed picture can be shown, not tiled
        assert sample.image_path is None and any("gunzip" in note for note in sample.warnings)
    else:
        assert sample.image_path.name.endswith("tissue_hires_image.png")


def test_words_between_name_and_matrix(raws, tmp_path):
    raw = raws[0, "mtx.gz"]
    write_flat(raw, tmp_path / "S", "GSM1_A_")
    for file in sorted((tmp_path / "S").glob("*[sx].[tm][st][vx].gz")):
        file.rename(file.with_name(file.name.replace("GSM1_A_", "GSM1_A_filtered_feature_bc_matrix_")))
    check(read(tmp_path / "S"), raw)


@pytest.mark.parametrize("matrix", ["h5", "mtx.gz"])
def test_several_samples_are_told_apart_by_name(raws, tmp_path, matrix):
    write_flat(raws[0, matrix], tmp_path / "S", "GSM1_A_")
    write_flat(raws[1, matrix], tmp_path / "S", "GSM2_B_")
    with pytest.raises(UsageError, match=r"holds 2 samples \(GSM1_A, GSM2_B\)") as refusal:
        read(tmp_path / "S")
    assert "--region" in refusal.value.hint
    assert describe(tmp_path / "S")["problems"][0]["exit_code"] == 2
    check(read(tmp_path / "S", region="GSM1_A"), raws[0, matrix])
    check(read(tmp_path / "S", region="GSM2_B"), raws[1, matrix])
    check(read(tmp_path / "S", region="B"), raws[1, matrix])
    with pytest.raises(UsageError, match="no sample 'C'") as refusal:
        read(tmp_path / "S", region="C")
    assert "GSM1_A, GSM2_B" in refusal.value.hint
    assert list(read(tmp_path / "S", region="B").adata.uns["spatial"]) == ["GSM2_B"]


def test_a_file_means_its_own_sample(raws, tmp_path):
    for seed, front in ((0, "A_"), (1, "B_")):
        write_flat(raws[seed, "h5"], tmp_path / "S", front)
    check(read(tmp_path / "S" / f"B_{H5}"), raws[1, "h5"])


def test_folders_named_after_their_sample(raws, tmp_path):
    for seed, name in ((0, "A"), (1, "B")):
        shutil.copytree(raws[seed, "h5"].path / "spatial", tmp_path / "S" / f"{name}_spatial")
        shutil.copy(raws[seed, "h5"].path / H5, tmp_path / "S" / f"{name}_{H5}")
    check(read(tmp_path / "S", region="B"), raws[1, "h5"])


def test_a_named_matrix_beside_a_plain_spatial_folder(raws, tmp_path):
    shutil.copytree(raws[0, "h5"].path, tmp_path / "S")
    (tmp_path / "S" / H5).rename(tmp_path / "S" / f"V1_Breast_{H5}")
    check(read(tmp_path / "S"), raws[0, "h5"])


def test_two_matrices_beside_one_spatial_folder_are_not_guessed_between(raws, tmp_path):
    shutil.copytree(raws[0, "h5"].path, tmp_path / "S")
    shutil.copy(tmp_path / "S" / H5, tmp_path / "S" / f"A_{H5}")
    (tmp_path / "S" / H5).rename(tmp_path / "S" / f"B_{H5}")
    with pytest.raises(UsageError, match="several matrices"):
        read(tmp_path / "S")


def test_counts_and_positions_of_other_samples_are_not_joined(raws, tmp_path):
    write_flat(raws[0, "h5"], tmp_path / "S", "A_")
    (tmp_path / "S" / "A_tissue_positions_list.csv.gz").rename(tmp_path / "S" / "B_tissue_positions_list.csv.gz")
    with pytest.raises(MissingResourceError, match="the counts are of 'A', the positions of 'B'") as refusal:
        read(tmp_path / "S")
    assert "A_tissue_positions_list.csv" in refusal.value.hint


def test_missing_positions_are_named_as_they_must_be_called(raws, tmp_path):
    write_flat(raws[0, "h5"], tmp_path / "S", "GSM1_A_")
    (tmp_path / "S" / "GSM1_A_tissue_positions_list.csv.gz").unlink()
    with pytest.raises(MissingResourceError, match=r"it is GSM1_A_tissue_positions_list\.csv"):
        read(tmp_path / "S")


@pytest.mark.parametrize("name", ["A_spatial.tar.gz", "A_filtered_feature_bc_matrix.h5.gz"])
def test_what_is_packed_is_to_be_unpacked(raws, tmp_path, name):
    write_flat(raws[0, "h5"], tmp_path / "S", "A_")
    gone = f"A_{H5}" if "h5" in name else "A_tissue_positions_list.csv.gz"
    (tmp_path / "S" / gone).unlink()
    (tmp_path / "S" / name).write_bytes(gzip.compress(b"packed"))
    with pytest.raises(MissingResourceError) as refusal:
        read(tmp_path / "S", "visium")
    assert f"unpack {name}" in refusal.value.hint


def test_three_files_without_positions_are_of_no_platform_in_particular(raws, tmp_path):
    write_flat(raws[0, "mtx.gz"], tmp_path / "S", "A_")
    (tmp_path / "S" / "A_tissue_positions_list.csv.gz").unlink()
    report = describe(tmp_path / "S", "visium")
    assert report["problems"][0]["exit_code"] == 4

"""Visium: every layout of Space Ranger gives the same sample; what is taken, named, left out and chosen."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from raw_folders import write_matrix_h5, write_positions, write_visium
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read


@pytest.mark.parametrize("positions", ["1", "2", "parquet"])
@pytest.mark.parametrize("matrix", ["h5", "mtx", "mtx.gz"])
def test_every_layout_gives_the_same_sample(tmp_path, positions, matrix):
    raw = write_visium(tmp_path / "S", positions=positions, matrix=matrix)
    sample = read(raw.path)
    adata = sample.adata
    assert sample.platform.name == "visium"
    assert sparse.issparse(adata.X) and adata.X.format == "csr" and adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.X.toarray(), raw.counts)
    assert list(adata.obs_names) == list(raw.positions.index)
    assert list(adata.var_names) == raw.symbols
    assert list(adata.var["gene_ids"]) == raw.gene_ids
    xy = raw.positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(adata.obsm["spatial"], xy)
    np.testing.assert_allclose(adata.obsm["spatial_um"], xy * raw.mpp, rtol=1e-6)
    assert adata.obsm["spatial"].dtype == np.float64
    assert list(adata.obs["array_col"]) == list(raw.positions["array_col"])


def test_scale_is_the_array_pitch_whatever_the_rotation(tmp_path):
    raw = write_visium(tmp_path / "S", mpp=1.31, rotation=3.0)
    sample = read(raw.path)
    assert sample.mpp == pytest.approx(1.31, rel=1e-6)
    assert sample.warnings == []
    assert (sample.footprint.size_um, sample.footprint.pitch_um) == (55.0, 100.0)


@pytest.mark.parametrize(("stated_um", "reported"), [(55.0, False), (65.0, False), (80.0, True)])
def test_a_spot_diameter_that_disagrees_is_reported(tmp_path, stated_um, reported):
    raw = write_visium(tmp_path / "S")
    path = raw.path / "spatial" / "scalefactors_json.json"
    factors = json.loads(path.read_text()) | {"spot_diameter_fullres": stated_um / raw.mpp}
    path.write_text(json.dumps(factors))
    assert any("spot_diameter_fullres" in w for w in read(raw.path).warnings) is reported


def test_given_scale_wins_and_the_disagreement_is_stated(tmp_path):
    raw = write_visium(tmp_path / "S")
    sample = read(raw.path, mpp=2.4)
    assert sample.mpp == 2.4
    assert any("--mpp states 2.4" in w for w in sample.warnings)


def test_filtered_comes_before_raw_and_h5_before_mtx(tmp_path):
    raw = write_visium(tmp_path / "S")
    write_visium(tmp_path / "S", kind="raw", matrix="mtx", seed=1)
    # The second call rewrote the positions with its own tissue; all its barcodes are there.
    assert read(raw.path).adata.n_obs == len(raw.positions)
    (raw.path / "filtered_feature_bc_matrix.h5").unlink()
    sample = read(raw.path)
    assert sample.adata.n_obs == 360
    assert any("no filtered matrix" in w for w in sample.warnings)


def test_paths_that_mean_the_same_sample(tmp_path):
    raw = write_visium(tmp_path / "run" / "outs")
    for path in (
        tmp_path / "run",
        raw.path,
        raw.path / "filtered_feature_bc_matrix.h5",
        raw.path / "spatial",
    ):
        assert detect(path).platform == "visium"
        assert read(path).adata.n_obs == len(raw.positions)
    assert list(read(raw.path).adata.uns["spatial"]) == ["run"]


def test_scanpy_finds_thumbnails_and_scales(tmp_path):
    raw = write_visium(tmp_path / "S")
    entry = read(raw.path).adata.uns["spatial"]["S"]
    assert entry["images"]["hires"].dtype == np.uint8
    assert entry["images"]["hires"].shape[2] == 3
    assert set(entry["scalefactors"]) >= {
        "tissue_hires_scalef",
        "tissue_lowres_scalef",
        "spot_diameter_fullres",
    }


def test_other_features_are_left_out_with_a_word(tmp_path):
    raw = write_visium(tmp_path / "S")
    types = ["Gene Expression"] * 28 + ["Antibody Capture"] * 2
    path = raw.path / "filtered_feature_bc_matrix.h5"
    write_matrix_h5(path, raw.counts, raw.positions.index, raw.gene_ids, raw.symbols, types)
    sample = read(raw.path)
    np.testing.assert_array_equal(sample.adata.X.toarray(), raw.counts[:, :28])
    assert any("2 Antibody Capture" in w for w in sample.warnings)


def test_a_symbol_of_two_genes_gives_way_to_their_ids(tmp_path):
    raw = write_visium(tmp_path / "S")
    symbols = ["Twin", "Twin", *raw.symbols[2:]]
    path = raw.path / "filtered_feature_bc_matrix.h5"
    write_matrix_h5(path, raw.counts, raw.positions.index, raw.gene_ids, symbols)
    sample = read(raw.path)
    assert list(sample.adata.var_names[:3]) == [*raw.gene_ids[:2], "Gene2"]
    assert list(sample.adata.var["gene_symbols"][:2]) == ["Twin", "Twin"]
    assert any("shared" in w for w in sample.warnings)


def test_a_few_barcodes_without_position_are_left_out(tmp_path):
    raw = write_visium(tmp_path / "S")
    full = pd.read_csv(raw.path / "spatial" / "tissue_positions.csv", index_col=0)
    write_positions(raw.path / "spatial", full.drop(raw.positions.index[:5]), "2")
    sample = read(raw.path)
    assert list(sample.adata.obs_names) == list(raw.positions.index[5:])
    np.testing.assert_array_equal(sample.adata.X.toarray(), raw.counts[5:])
    assert any(w.startswith("5 of") for w in sample.warnings)


def test_swapped_axes_are_noticed(tmp_path):
    raw = write_visium(tmp_path / "S")
    path = raw.path / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(path)
    table["pxl_row_in_fullres"], table["pxl_col_in_fullres"] = (
        table["pxl_col_in_fullres"],
        table["pxl_row_in_fullres"],
    )
    table.to_csv(path, index=False)
    assert any("mirrored" in w for w in read(raw.path).warnings)


class TestImage:
    def test_full_resolution_beside_the_data(self, tmp_path):
        raw = write_visium(tmp_path / "S")
        sample = read(raw.path)
        assert (sample.image_path.name, sample.image_scale) == ("tissue_image.png", 1.0)
        assert sample.inputs["image"] == sample.image_path

    def test_overlays_are_never_the_he(self, tmp_path):
        raw = write_visium(tmp_path / "S", image=None)
        for name in ("aligned_fiducials.jpg", "detected_tissue_image.jpg", "aligned_tissue_image.jpg"):
            Image.new("RGB", (400, 400), "red").save(raw.path / "spatial" / name)
        Image.new("RGB", (400, 400), "red").save(raw.path / "spatial" / "cytassist_image.tiff")
        Image.new("RGB", (400, 400), "red").save(raw.path / "CytAssist_FFPE_Breast_image.tif")
        sample = read(raw.path)
        assert sample.image_path.name == "tissue_hires_image.png"
        assert sample.image_scale == pytest.approx(0.25, rel=0.01)
        with pytest.raises(BadInputError, match="overlay"):
            read(raw.path, image=raw.path / "spatial" / "aligned_fiducials.jpg")

    def test_cytassist_prefers_the_microscope_image(self, tmp_path):
        raw = write_visium(tmp_path / "S", image="CytAssist_FFPE_Breast_tissue_image.png")
        Image.new("RGB", (400, 400), "red").save(raw.path / "CytAssist_FFPE_Breast_image.tif")
        assert read(raw.path).image_path.name == "CytAssist_FFPE_Breast_tissue_image.png"

    def test_two_candidates_are_not_guessed_between(self, tmp_path):
        raw = write_visium(tmp_path / "S", image="A_HE.png")
        (raw.path / "B_HE.png").write_bytes((raw.path / "A_HE.png").read_bytes())
        with pytest.raises(UsageError, match=r"A_HE.png, B_HE.png"):
            read(raw.path)
        assert read(raw.path, image=raw.path / "B_HE.png").image_path.name == "B_HE.png"

    def test_a_reduced_copy_is_used_at_its_scale(self, tmp_path):
        raw = write_visium(tmp_path / "S")
        with Image.open(raw.path / "tissue_image.png") as image:
            image.resize((image.width // 2, image.height // 2)).save(tmp_path / "half.png")
        sample = read(raw.path, image=tmp_path / "half.png")
        assert sample.image_scale == pytest.approx(0.5, rel=0.01)
        assert any("half.png" in w for w in sample.warnings)

    def test_missing_image_is_named(self, tmp_path):
        raw = write_visium(tmp_path / "S")
        with pytest.raises(MissingResourceError, match=r"nowhere\.tif"):
            read(raw.path, image=tmp_path / "nowhere.tif")

"""Xenium: simulated and real folders are read as they are; its alignment of the H&E is honoured."""

from __future__ import annotations

import json
import shutil

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from raw_folders import write_matrix_folder, write_matrix_h5
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read
from focus_cli.simulation import simulate

IDS = [f"aaaaaaa{letter}-1" for letter in "abcdefgh"]
SYMBOLS = ["EPCAM", "KRT8", "VIM", "NegControlProbe_00042", "BLANK_0001", "DeprecatedCodeword_0003", "CD3E"]
TYPES = ["Gene Expression"] * 3 + ["Negative Control Probe", "Blank Codeword", "Deprecated Codeword"]
TYPES += ["Protein Expression"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("xenium") / "study"
    return simulate(out, platform="xenium", n_sections=1, size_um=700.0, n_genes=40, seed=3)


@pytest.fixture
def folder(tmp_path):
    """Eight cells, three genes and four features that are none; ids as in version 2."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (8, 7)) + 1
    folder = tmp_path / "outs"
    folder.mkdir()
    write_matrix_h5(folder / "cell_feature_matrix.h5", counts, IDS, [f"ENSG{i}" for i in range(7)], SYMBOLS, TYPES)
    xy = rng.uniform(10, 900, (8, 2)).round(3)
    cells = pd.DataFrame({"cell_id": IDS, "x_centroid": xy[:, 0], "y_centroid": xy[:, 1], "cell_area": 78.54})
    cells.to_csv(folder / "cells.csv.gz", index=False)
    experiment = {"pixel_size": 0.25, "analysis_sw_version": "xenium-2.0.0.10", "preservation_method": "FFPE"}
    (folder / "experiment.xenium").write_text(json.dumps(experiment))
    return folder


def cells_of(folder):
    return pd.read_csv(folder / "cells.csv.gz")


def test_a_simulated_folder_gives_its_truth(study):
    sample = read(study / "sections" / "S1")
    truth = anndata.read_h5ad(study / "truth" / "S1.h5ad")
    with h5py.File(study / "sections" / "S1" / "cell_feature_matrix.h5") as file:
        group = file["matrix"]
        shape = tuple(group["shape"][:][::-1])
        drawn = sparse.csr_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), shape)[:, :40]
    assert (sample.platform.name, sample.platform.version) == ("xenium", "2.0.0.10")
    assert sample.platform.technology == "imaging"
    assert list(sample.adata.obs_names) == list(truth.obs_names)
    assert (drawn != sample.adata.X).nnz == 0
    assert sample.adata.X.format == "csr" and sample.adata.X.dtype == np.float32
    measured = truth.var["measured"].to_numpy()
    assert list(sample.adata.var_names) == list(truth.var_names[measured])
    assert list(sample.adata.var["gene_ids"]) == list(truth.var["gene_ids"][measured])
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], truth.obsm["spatial_um"], atol=1e-6)
    assert sample.mpp == 0.2125
    assert sample.footprint.size_um == pytest.approx(10, abs=1e-3)
    # The H&E has pixels of 1 µm.
    assert sample.image_path.name == "S1_he_image.tif"
    np.testing.assert_allclose(sample.to_image(sample.adata.obsm["spatial"]), truth.obsm["spatial"], atol=1e-5)


def test_mpp_changes_the_pixels_and_not_the_micrometres(study):
    raw = study / "sections" / "S1"
    own, given = read(raw), read(raw, mpp=1.0)
    np.testing.assert_allclose(own.adata.obsm["spatial_um"], given.adata.obsm["spatial_um"])
    np.testing.assert_allclose(given.adata.obsm["spatial"], given.adata.obsm["spatial_um"])
    np.testing.assert_allclose(own.to_image(own.adata.obsm["spatial"]), given.to_image(given.adata.obsm["spatial"]))


def test_only_genes_are_counted(folder):
    sample = read(folder)
    assert list(sample.adata.var_names) == ["EPCAM", "KRT8", "VIM"]
    said = next(w for w in sample.warnings if "not gene expression" in w)
    for kind in ("Negative Control Probe", "Blank Codeword", "Deprecated Codeword", "Protein Expression"):
        assert f"1 {kind}" in said
    xy = cells_of(folder)[["x_centroid", "y_centroid"]].to_numpy()
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], xy)
    np.testing.assert_allclose(sample.adata.obsm["spatial"], xy / 0.25)
    assert sample.platform.preservation == "FFPE"


def test_matrix_folder_without_types_gives_the_same(folder):
    expected = read(folder)
    with h5py.File(folder / "cell_feature_matrix.h5") as file:
        group = file["matrix"]
        counts = sparse.csr_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), (8, 7)).toarray()
    (folder / "cell_feature_matrix.h5").unlink()
    keep = [0, 1, 2, 3, 4, 5]  # without types, only the names tell the controls
    write_matrix_folder(
        folder / "cell_feature_matrix", counts[:, keep], IDS, [f"ENSG{i}" for i in keep], SYMBOLS[:6], gz=True
    )
    sample = read(folder)
    assert detect(folder).evidence[1] == "cell_feature_matrix"
    assert list(sample.adata.var_names) == ["EPCAM", "KRT8", "VIM"]
    assert (sample.adata.X != expected.adata.X).nnz == 0


@pytest.mark.parametrize("kind", ["bytes", "integers"])
def test_cell_ids_of_other_versions(folder, kind):
    cells = cells_of(folder).sample(frac=1, random_state=1)  # another order than the matrix has
    (folder / "cells.csv.gz").unlink()
    if kind == "bytes":  # parquet files of version 1 hold bytes
        cells["cell_id"] = cells["cell_id"].str.encode("utf-8")
    else:
        number = {name: i + 1 for i, name in enumerate(IDS)}
        cells["cell_id"] = cells["cell_id"].map(number)
        with h5py.File(folder / "cell_feature_matrix.h5", "r+") as file:
            del file["matrix/barcodes"]
            file["matrix/barcodes"] = np.array([str(i + 1) for i in range(8)], dtype="S")
    cells.to_parquet(folder / "cells.parquet", index=False)
    sample = read(folder)
    assert list(sample.adata.obs_names) == (IDS if kind == "bytes" else [str(i + 1) for i in range(8)])
    expected = cells.sort_values("cell_id")[["x_centroid", "y_centroid"]].to_numpy()
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], expected)


def test_missing_manifest_is_said_and_the_rest_read(folder):
    (folder / "experiment.xenium").unlink()
    assert detect(folder).problems == ("experiment.xenium is missing",)
    sample = read(folder)
    assert sample.mpp == 0.2125
    assert any("experiment.xenium is missing" in w for w in sample.warnings)
    assert detect(folder.parent).platform == "xenium"


class TestImage:
    def put(self, folder, name):
        Image.new("RGB", (64, 64), "pink").save(folder / name)

    def test_a_turned_alignment_is_inverted(self, folder):
        self.put(folder, "A_he_image.ome.tif")
        matrix = np.array([[0.011, 1.29, 808.0], [-1.29, 0.011, 3097.0], [0, 0, 1]])
        np.savetxt(folder / "A_he_imagealignment.csv", matrix, delimiter=",")
        sample = read(folder)
        pixels = np.column_stack([sample.to_image(sample.adata.obsm["spatial"]), np.ones(8)])
        np.testing.assert_allclose((pixels @ matrix.T)[:, :2], sample.adata.obsm["spatial"], atol=1e-6)
        assert sample.image_scale == pytest.approx(1 / np.sqrt(np.linalg.det(matrix)))
        assert sample.inputs["alignment"].name == "A_he_imagealignment.csv"

    def test_fluorescence_is_never_the_he(self, folder):
        for name in ("morphology_focus.ome.tif", "morphology_mip.ome.tif", "morphology.ome.tif", "A_if_image.ome.tif"):
            self.put(folder, name)
        sample = read(folder)
        assert sample.image_path is None

    def test_alignments_of_others_are_left_alone(self, folder, tmp_path):
        self.put(folder, "A_he.ome.tif")
        np.savetxt(folder / "A_if_imagealignment.csv", np.diag([2.0, 2.0, 1.0]), delimiter=",")
        np.savetxt(tmp_path / "B_he_imagealignment.csv", np.diag([2.0, 2.0, 1.0]), delimiter=",")
        sample = read(folder)
        assert sample.to_image is None
        assert any("no file states how A_he.ome.tif lies on the cells" in w for w in sample.warnings)

    def test_two_alignments_are_not_guessed_between(self, folder):
        self.put(folder, "A_he_image.ome.tif")
        for name in ("X", "Y"):
            np.savetxt(folder / f"{name}_he_imagealignment.csv", np.eye(3), delimiter=",")
        with pytest.raises(UsageError, match=r"X_he_imagealignment\.csv, Y_he"):
            read(folder)

    @pytest.mark.parametrize(
        "content",
        ["", "1,2\n3,4\n", "1,0,0\n0,1,0\n1e-4,0,1\n", "0,0,0\n0,0,0\n0,0,1\n", "a,b,c\n" * 3, "nan,0,0\n" * 3],
    )
    def test_a_damaged_alignment_is_refused(self, folder, content):
        self.put(folder, "A_he_image.ome.tif")
        (folder / "A_he_imagealignment.csv").write_text(content)
        with pytest.raises(BadInputError, match=r"A_he_imagealignment\.csv"):
            read(folder)


@pytest.mark.parametrize(
    ("present", "absent", "said"),
    [
        ("cell_feature_matrix.zarr.zip", "cell_feature_matrix.h5", "only as cell_feature_matrix.zarr.zip"),
        ("cells.zarr.zip", "cells.csv.gz", "only as cells.zarr.zip"),
        (None, "cell_feature_matrix.h5", "cell_feature_matrix.h5 .* is missing"),
        (None, "cells.csv.gz", "cells.parquet .* is missing"),
    ],
)
def test_what_is_missing_is_named(folder, present, absent, said):
    (folder / absent).unlink()
    if present:
        (folder / present).write_bytes(b"PK")
    assert detect(folder).platform == "xenium"
    with pytest.raises(MissingResourceError, match=said):
        read(folder)


def rewrite(folder, change):
    table = cells_of(folder)
    change(table).to_csv(folder / "cells.csv.gz", index=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="x_centroid"), "column 'x_centroid' is missing"),
        (lambda t: t.assign(cell_id="x" + t["cell_id"]), "0 of 8 cells"),
        (lambda t: t.assign(cell_id=t["cell_id"].iloc[0]), "duplicate cells"),
        (lambda t: t.assign(y_centroid="far"), "'y_centroid' is not numeric"),
        (lambda t: t.assign(y_centroid=np.nan), "NaN"),
        (lambda t: t.assign(y_centroid=t["y_centroid"] * 1e5), "farther than any slide"),
        (lambda t: t.assign(x_centroid=1.0, y_centroid=1.0), "share their position"),
        (lambda t: t.iloc[:0], "0 of 8 cells"),
    ],
)
def test_bad_cells_are_refused(folder, change, said):
    rewrite(folder, change)
    with pytest.raises(BadInputError, match=said):
        read(folder)


@pytest.mark.parametrize("name", ["cell_feature_matrix.h5", "cells.csv.gz", "experiment.xenium"])
@pytest.mark.parametrize("how", ["truncated", "garbage", "empty", "folder"])
def test_damaged_files_are_refused(folder, name, how):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    else:
        rubbish = np.random.default_rng(1).bytes(500)
        path.write_bytes({"truncated": content[: len(content) // 2], "garbage": rubbish, "empty": b""}[how])
    if (name, how) == ("experiment.xenium", "folder"):  # as good as missing
        assert read(folder).mpp == 0.2125
        return
    with pytest.raises((BadInputError, MissingResourceError)):
        read(folder)


def test_a_pixel_size_that_is_none_is_refused(folder):
    (folder / "experiment.xenium").write_text(json.dumps({"pixel_size": -1}))
    with pytest.raises(BadInputError, match="pixel_size"):
        read(folder)


@pytest.mark.realdata
def test_the_real_folder(focus_data, tmp_path):
    import scanpy as sc

    folder = focus_data / "native" / "xenium"
    assert detect(folder).problems == ("experiment.xenium is missing",)
    sample = read(folder)
    expected = sc.read_10x_h5(folder / "cell_feature_matrix.h5", gex_only=True)
    assert sample.adata.shape == (526, 27)
    assert (sample.adata.X != expected.X).nnz == 0
    assert list(sample.adata.obs_names) == list(expected.obs_names)
    assert list(sample.adata.var["gene_ids"]) == list(expected.var["gene_ids"])
    cells = pd.read_csv(folder / "cells.csv.gz", index_col="cell_id").loc[sample.adata.obs_names]
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], cells[["x_centroid", "y_centroid"]], rtol=1e-12)
    np.testing.assert_allclose(sample.adata.obsm["spatial"] * 0.2125, cells[["x_centroid", "y_centroid"]])
    assert sample.footprint.size_um == pytest.approx(2 * np.sqrt(cells["cell_area"].median() / np.pi), abs=1e-3)
    assert sample.image_path is None
    assert any("1 Negative Control Probe, 2 Unassigned Codeword" in w for w in sample.warnings)
    # The csv holds what the parquet holds.
    for name in ("cell_feature_matrix.h5", "cells.csv.gz"):
        shutil.copy(folder / name, tmp_path / name)
    np.testing.assert_allclose(read(tmp_path).adata.obsm["spatial"], sample.adata.obsm["spatial"])

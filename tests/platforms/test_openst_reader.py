"""Open-ST: (row, column) becomes (x, y), the most refined alignment is taken, images inside are not read."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sequencing import drawn, places, written

from focus_cli.core.errors import BadInputError, FocusError
from focus_cli.platforms import detect, read


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return written("openst", tmp_path_factory)


def spots(n=20, seed=0):
    rng = np.random.default_rng(seed)
    adata = anndata.AnnData(
        sparse.csr_matrix(rng.poisson(2.0, (n, 5)).astype(np.float32)),
        pd.DataFrame(index=[f"bc{i}" for i in range(n)]),
        pd.DataFrame(index=[f"G{i}" for i in range(5)]),
    )
    adata.obsm["spatial"] = rng.uniform(0, 1000, (n, 2))
    return adata


def test_simulated_file_comes_back(study):
    file = next(study.raw.glob("*.h5ad"))
    assert detect(file).platform == detect(study.raw).platform == "openst"
    sample = read(file, mpp=study.section.mpp)
    counts = drawn(study.section)
    assert list(sample.adata.obs_names) == list(counts.index)  # without label 0
    np.testing.assert_array_equal(sample.adata.X.toarray(), counts)
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], places(study.section))
    assert sample.image_path.name == "S1_HE.tif" and sample.warnings == []
    assert read(file).mpp == 0.345


def test_the_most_refined_alignment_is_taken(tmp_path):
    adata = spots()
    order = ["spatial_pairwise_aligned_coarse", "spatial_manual_coarse", "spatial_pairwise_aligned_fine"]
    for shift, key in enumerate([*order, "spatial_manual_fine"]):
        adata.obsm[key] = np.random.default_rng(shift).uniform(0, 500, (20, 2))
        adata.write_h5ad(tmp_path / "a.h5ad")
        np.testing.assert_array_equal(read(tmp_path).adata.obsm["spatial"], adata.obsm[key][:, ::-1])


def test_positions_never_aligned_are_taken_as_they_are(tmp_path):
    adata = spots()
    adata.uns["puck_variables"] = {"width_um": 100.0, "spot_diameter_um": 0.6, "coord_by_um": 4.0}
    adata.uns["mesh_variables"] = {"spot_diameter_um": 7.0}
    adata.write_h5ad(tmp_path / "a.h5ad")
    sample = read(tmp_path)
    np.testing.assert_array_equal(sample.adata.obsm["spatial"], adata.obsm["spatial"])
    assert (sample.mpp, sample.footprint.size_um) == (0.25, 7.0)
    assert any("not aligned to an image" in w for w in sample.warnings)
    del adata.uns["puck_variables"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    sample = read(tmp_path)
    assert sample.mpp == 0.345 and any("0.345 µm is assumed" in w for w in sample.warnings)


def test_molecules_in_no_cell_are_counted(tmp_path):
    adata = spots()
    adata.obs["cell_ID_mask"] = np.arange(20)
    adata.write_h5ad(tmp_path / "a.h5ad")
    sample = read(tmp_path)
    assert sample.adata.n_obs == 19
    assert f"{adata.X[0].sum():.0f} UMIs outside cells (label 0) were left out" in sample.warnings


def test_what_is_not_needed_is_not_read(tmp_path):
    adata = spots()
    adata.obsm["spatial_pairwise_aligned_fine"] = adata.obsm["spatial"]
    adata.uns["spatial_pairwise_aligned"] = {"staining_image": np.zeros((50, 50, 3), np.uint8)}
    adata.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:  # an image that no reader could open
        del file["uns/spatial_pairwise_aligned/staining_image"]
        file["uns/spatial_pairwise_aligned/staining_image"] = h5py.SoftLink("/nowhere")
    assert read(tmp_path).adata.n_obs == 20


def test_other_files_are_left_to_the_anndata_reader(tmp_path):
    spots().write_h5ad(tmp_path / "a.h5ad")
    assert detect(tmp_path).platform == "anndata"
    (tmp_path / "a.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert detect(tmp_path).platform == "anndata"


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.__delitem__("obsm/spatial_pairwise_aligned_fine"),
        lambda f: f.__delitem__("X"),
        lambda f: f.__delitem__("var"),
        lambda f: f.__delitem__("X/indptr"),
        lambda f: f["X/indices"].__setitem__(0, 99),
        lambda f: f["X/indices"].__setitem__(0, -1),
        lambda f: f["X/data"].__setitem__(0, np.nan),
        lambda f: f["X/data"].__setitem__(0, -3),
        lambda f: f["X/data"].__setitem__(0, 0.5),
        lambda f: f["obsm/spatial_pairwise_aligned_fine"].__setitem__((0, 0), np.inf),
        lambda f: f["obs"].attrs.__setitem__("_index", "lost"),
    ],
)
def test_damaged_files(tmp_path, change):
    adata = spots()
    adata.obsm["spatial_pairwise_aligned_fine"] = adata.obsm["spatial"]
    del adata.obsm["spatial"]
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FocusError) as caught:
        read(path, "openst")
    assert "a.h5ad" in caught.value.message and "\n" not in caught.value.message


def test_truncated_file(tmp_path):
    spots().write_h5ad(tmp_path / "a.h5ad")
    path = tmp_path / "a.h5ad"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadInputError, match="truncated or damaged"):
        read(path, "openst")

"""How large a sample is, before anything of it is read: headers where there are some, sizes of files elsewhere."""

import gzip
import json
from types import SimpleNamespace

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from focus_cli import platforms
from focus_cli.core import keys
from focus_cli.core.resources import DEFAULT_SIZE, Size, result_size, sample_size
from focus_cli.core.storage import open_sample
from focus_cli.platforms.preprocessing import preprocess
from focus_cli.simulation import simulate


@pytest.fixture(scope="module")
def stored(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("size") / "S1"
    preprocess(study.sections[0], out, "S1", platform="visium")
    return open_sample(out)


def test_a_stored_sample_is_known_exactly(stored):
    size, adata = sample_size(stored.path), stored.read()
    assert (size.locations, size.genes, size.nonzeros) == (*adata.shape, adata.X.nnz)
    assert size.image_px == stored.info.image.width * stored.info.image.height
    assert size.pitch_um == stored.info.footprint.pitch_um and size.known and size.whole_px == 0


def test_the_stored_sample_is_asked_once_it_is_there(study, stored, tmp_path):
    row = SimpleNamespace(path=str(study.sections[0]), platform="visium", image=None, bin_um=None)
    raw = sample_size(row, stored=tmp_path / "not_yet")
    assert raw.locations >= stored.info.n_locations and raw.image_px > 0
    assert sample_size(row, stored=stored.path) == sample_size(stored.path)


def test_counts_that_are_being_written_do_not_stop_the_plan(stored, tmp_path):
    (tmp_path / keys.SAMPLE_JSON).write_bytes((stored.path / keys.SAMPLE_JSON).read_bytes())
    (tmp_path / keys.COUNTS_H5AD).write_bytes((stored.path / keys.COUNTS_H5AD).read_bytes()[:1000])
    size = sample_size(tmp_path)
    assert size.locations == stored.info.n_locations and size.nonzeros >= stored.read().X.nnz


def test_enhanced_files_and_answers_are_as_large_as_their_counts(enhanced_study, tmp_path):
    path = min(enhanced_study.enhanced.values())
    adata = anndata.read_h5ad(path)
    size = result_size(path)  # X is dense: its entries are not what work grows with
    assert (size.locations, size.genes, size.nonzeros) == (*adata.shape, adata.layers["counts"].nnz) and size.known
    adata[:, :0].write_h5ad(tmp_path / "answer.h5ad")
    assert result_size(tmp_path / "answer.h5ad").locations == adata.n_obs
    bare = anndata.AnnData(obs=adata.obs[[]])
    bare.write_h5ad(tmp_path / "bare.h5ad")
    assert result_size(tmp_path / "bare.h5ad") == Size(adata.n_obs, 0, 0)
    (tmp_path / "cut.h5ad").write_bytes(path.read_bytes()[:2000])
    assert result_size(tmp_path / "cut.h5ad") == result_size(tmp_path / "none.h5ad") == DEFAULT_SIZE


@pytest.mark.parametrize("text", ["", "{", json.dumps({"n_locations": "many"}), "[]"])
def test_a_damaged_description_is_no_error(tmp_path, text):
    (tmp_path / keys.SAMPLE_JSON).write_text(text)
    assert isinstance(sample_size(tmp_path), Size)


def test_nothing_there_is_the_default(tmp_path):
    assert sample_size(tmp_path / "nowhere") == DEFAULT_SIZE
    assert sample_size(tmp_path) == DEFAULT_SIZE


@pytest.mark.parametrize("platform", ["visium_hd", "xenium", "cosmx", "slideseq", "stereoseq", "starmap", "anndata"])
def test_a_raw_folder_is_told_within_a_factor_of_four(tmp_path, platform):
    simulate(tmp_path / "study", platform=platform, n_sections=1, size_um=700, n_genes=60, mpp=2.0)
    raw = tmp_path / "study" / "sections" / "S1"
    size, adata = sample_size(raw, platform=platform), platforms.read(raw, platform).adata
    for told, true in ((size.locations, adata.n_obs), (size.genes, adata.n_vars), (size.nonzeros, adata.X.nnz)):
        assert true / 4 <= told <= 4 * true
    assert size.image_px == 350 * 350


def test_of_bins_those_asked_for_are_counted(tmp_path):
    for side, n in ((8, 40), (16, 10)):
        folder = tmp_path / "binned_outputs" / f"square_{side:03d}um"
        folder.mkdir(parents=True)
        with h5py.File(folder / "filtered_feature_bc_matrix.h5", "w") as file:
            file["matrix/shape"], file["matrix/data"] = np.array([5, n]), np.ones(3 * n)
    assert sample_size(tmp_path).locations == 40
    assert sample_size(tmp_path, bin_um=16).locations == 10
    assert sample_size(tmp_path, bin_um=16).pitch_um == 16


def test_cells_in_a_file_are_counted_without_reading_them(tmp_path):
    x = sparse.random(50, 30, 0.2, "csr", dtype=np.float32, random_state=0)
    anndata.AnnData(x, layers={"counts": x.copy()}).write_h5ad(tmp_path / "cells.h5ad")
    size = sample_size(tmp_path / "cells.h5ad")
    assert (size.locations, size.genes, size.nonzeros) == (50, 30, x.nnz)


def test_a_jpeg_is_decoded_whole_and_a_tiff_is_not(tmp_path):
    from PIL import Image

    (tmp_path / "cell_by_gene.csv").write_text("cell,A,B\n" + "c,1,0\n" * 20)
    for name in ("he.jpg", "he.tif"):
        Image.new("RGB", (400, 300)).save(tmp_path / name)
    jpeg, tiff = (sample_size(tmp_path, image=tmp_path / name) for name in ("he.jpg", "he.tif"))
    assert (jpeg.image_px, jpeg.whole_px) == (120_000, 120_000)
    assert (tiff.image_px, tiff.whole_px) == (120_000, 0)


def test_a_zipped_table_is_measured_unzipped(tmp_path):
    table = "cell\t" + "\t".join(f"g{i}" for i in range(40)) + "\n" + ("c\t" + "1\t" * 39 + "0\n") * 5000
    (tmp_path / "counts.tsv").write_text(table)
    plain = sample_size(tmp_path / "counts.tsv")
    (tmp_path / "counts.tsv").unlink()
    (tmp_path / "counts.tsv.gz").write_bytes(gzip.compress(table.encode()))
    zipped = sample_size(tmp_path / "counts.tsv.gz")
    assert plain.locations == pytest.approx(5000, rel=0.01) and not plain.known
    assert zipped.locations == pytest.approx(5000, rel=0.1)


@pytest.mark.realdata
def test_real_sections_are_told(focus_data):
    kidney = sample_size(focus_data / "visium_hd_kidney")
    assert (kidney.locations, kidney.genes, kidney.known) == (255_967, 18_084, True)
    breast = sample_size(focus_data / "st_her2_breast" / "C2", platform="legacy_st")
    assert breast.locations == pytest.approx(187, rel=0.3) and breast.whole_px > 9e7


def test_a_damaged_header_is_no_error(tmp_path):
    """HDF5 fails in many ways where the names of a file's groups lie; the stage will say so, not the estimate."""
    file = tmp_path / "filtered_feature_bc_matrix.h5"
    with h5py.File(file, "w") as matrix:
        matrix["matrix/shape"] = [4, 3]
        matrix["matrix/data"] = np.ones(5)
    assert sample_size(file, platform="visium").nonzeros == 5
    whole = file.read_bytes()
    places = [i for i in range(len(whole)) if whole.startswith(b"HEAP", i)]
    assert places
    for place in places:
        file.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
        assert sample_size(file, platform="visium").nonzeros > 0

"""Stereo-seq: GEF, GEM and stereopy's files give the molecules that were written, wherever they are binned."""

import gzip
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sequencing import written

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read
from focus_cli.platforms.dnb import Sums
from focus_cli.simulation.layouts.stereoseq import scatter, write_gef, write_gem


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return written("stereoseq", tmp_path_factory)


@pytest.fixture(scope="module")
def molecules(study):
    return scatter(study.section)


def check_bins(sample, section):
    """The sample holds the section's bins with a molecule, and nothing else."""
    counts = pd.DataFrame(section.counts.toarray(), index=section.locations.names, columns=section.symbols)
    counts = counts[counts.sum(axis=1) > 0]
    assert set(sample.adata.obs_names) == set(counts.index)
    expected = counts.loc[sample.adata.obs_names, sample.adata.var_names]
    np.testing.assert_array_equal(sample.adata.X.toarray(), expected)
    where = pd.DataFrame(section.locations.xy_um, index=section.locations.names)
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], where.loc[sample.adata.obs_names], atol=1e-9)
    assert (sample.footprint.shape, sample.footprint.size_um, sample.footprint.pitch_um) == ("square", 16.0, 16.0)


def test_simulated_folder_comes_back(study):
    found = detect(study.raw)
    assert (found.platform, found.evidence) == ("stereoseq", ("S1.tissue.gef",))
    sample = read(study.raw, mpp=study.section.mpp, bin_um=16)
    check_bins(sample, study.section)
    assert sparse.issparse(sample.adata.X) and sample.adata.X.dtype == np.float32
    assert list(sample.adata.var["gene_ids"]) == list(study.section.gene_ids)
    assert sample.image_path.name == "S1_HE_regist.tif"
    assert sample.warnings == []
    assert (sample.platform.technology, sample.platform.version) == ("sequencing", "4")


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("absolute", [False, True])
def test_gef_versions_and_origins(tmp_path, study, molecules, version, absolute):
    path = tmp_path / "A.gef"
    write_gef(path, study.section, molecules, version=version)
    if absolute:  # the other convention: places on the chip, with the same attributes
        with h5py.File(path, "r+") as file:
            expression = file["geneExp/bin1/expression"]
            rows = expression[:]
            rows["x"] += expression.attrs["minX"][0]
            rows["y"] += expression.attrs["minY"][0]
            expression[...] = rows
    sample = read(path, bin_um=16)
    check_bins(sample, study.section)
    assert sample.mpp == 0.5
    np.testing.assert_allclose(sample.adata.obsm["spatial"], 2 * sample.adata.obsm["spatial_um"])


@pytest.mark.parametrize("name", ["A.gem", "A.gem.gz", "A.txt.gz"])
def test_gem_is_the_same(tmp_path, study, molecules, name):
    write_gem(tmp_path / name, study.section, molecules)
    assert detect(tmp_path).platform == "stereoseq"
    sample = read(tmp_path, bin_um=16)
    check_bins(sample, study.section)
    ids = dict(zip(study.section.symbols, study.section.gene_ids))
    assert dict(zip(sample.adata.var["gene_symbols"], sample.adata.var["gene_ids"])) == {
        k: ids[k] for k in sample.adata.var["gene_symbols"]
    }


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("count", ["MIDCounts", "UMICount", "midcount", "umi_count", "MID_Counts"])
def test_old_gem_columns(tmp_path, count, separator):
    text = f"geneID\tx\ty\t{count}\nG1\t0\t0\t2\nG1\t49\t49\t1\nG2\t50\t0\t5\nG1\t0\t50\t1\n"
    (tmp_path / "a.gem").write_text(text.replace("\t", separator))
    sample = read(tmp_path / "a.gem")
    assert list(sample.adata.obs_names) == ["0_0", "50_0", "0_50"]  # by rows
    np.testing.assert_array_equal(sample.adata.X.toarray(), [[3, 0], [0, 5], [1, 0]])
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], [[12.5, 12.5], [37.5, 12.5], [12.5, 37.5]])
    assert sample.footprint.size_um == 25.0
    assert sample.adata.obs[["array_row", "array_col"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0]]


def test_chunks_do_not_matter(tmp_path, study, molecules, monkeypatch):
    write_gem(tmp_path / "A.gem", study.section, molecules)
    write_gef(tmp_path / "A.gef", study.section, molecules)
    monkeypatch.setattr("focus_cli.platforms.formats.gem._ROWS", 97)
    monkeypatch.setattr("focus_cli.platforms.formats.gef._ROWS", 89)
    monkeypatch.setattr("focus_cli.platforms.dnb._PENDING", 500)
    for name in ("A.gem", "A.gef"):
        check_bins(read(tmp_path / name, bin_um=16), study.section)


def test_sums_are_those_of_a_dense_table():
    rng = np.random.default_rng(1)
    place, gene, count = rng.integers(0, 50, 4000), rng.integers(0, 9, 4000), rng.integers(1, 5, 4000)
    sums = Sums()
    for part in np.array_split(np.arange(4000), 7):
        sums.add(place[part], gene[part], count[part])
    places, counts = sums.finish(9)
    dense = np.zeros((50, 9), int)
    np.add.at(dense, (place, gene), count)
    np.testing.assert_array_equal(places, np.flatnonzero(dense.sum(axis=1)))
    np.testing.assert_array_equal(counts.toarray(), dense[places])


def test_cells_of_a_gem(tmp_path):
    lines = ["#FileFormat=GEMv0.2", "#BinType=CellBin", "#BinSize=Cell", "#OffsetX=100", "#OffsetY=200"]
    lines += ["geneID\tgeneName\tx\ty\tMIDCount\tExonCount\tCellID"]
    lines += ["E1\tA\t0\t0\t3\t1\t10", "E2\tB\t2\t4\t1\t1\t10", "E1\tA\t40\t0\t2\t0\t9", "E1\tA\t7\t7\t8\t0\t0"]
    (tmp_path / "a.cellbin.gem").write_text("\n".join(lines) + "\n")
    sample = read(tmp_path / "a.cellbin.gem")
    assert list(sample.adata.obs_names) == ["9", "10"]  # by number, not as text
    np.testing.assert_array_equal(sample.adata.X.toarray(), [[2, 0], [3, 1]])
    np.testing.assert_allclose(sample.adata.obsm["spatial"], [[140.5, 200.5], [101.5, 202.5]])
    assert list(sample.adata.var_names) == ["A", "B"] and sample.footprint.shape == "circle"
    assert "8 UMIs outside cells were left out" in sample.warnings
    # With a bin size, the same file is read as bins, and nothing is left out.
    assert read(tmp_path / "a.cellbin.gem", bin_um=25).adata.X.sum() == 14


def write_cellbin(path, counts, xy, version=3):
    cell = np.zeros(len(xy), dtype=[(n, "<u4") for n in ("id", "x", "y", "offset", "geneCount", "expCount", "area")])
    cell["id"], (cell["x"], cell["y"]) = np.arange(7, 7 + len(xy)), xy.T
    cell["offset"], cell["geneCount"], cell["area"] = counts.indptr[:-1], np.diff(counts.indptr), 400
    exp = np.zeros(counts.nnz, dtype=[("geneID", "<u2"), ("count", "<u2")])
    exp["geneID"], exp["count"] = counts.indices, counts.data
    fields = [("geneName", "S32")] if version < 4 else [("geneID", "S32"), ("geneName", "S32")]
    gene = np.zeros(counts.shape[1], dtype=[*fields, ("offset", "<u4"), ("cellCount", "<u4")])
    gene["geneName"] = [f"G{i}".encode() for i in range(counts.shape[1])]
    if version > 3:
        gene["geneID"] = [f"ENSG{i:011d}".encode() for i in range(counts.shape[1])]
    with h5py.File(path, "w") as file:
        file.attrs["resolution"], file.attrs["version"] = np.array([715]), np.array([version])
        file["cellBin/cell"], file["cellBin/cellExp"], file["cellBin/gene"] = cell, exp, gene


@pytest.mark.parametrize("version", [3, 4])
def test_cellbin_gef(tmp_path, version):
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(0.6, (30, 6)))
    xy = rng.choice(5000, (30, 2), replace=False)
    write_cellbin(tmp_path / "A.cellbin.gef", counts, xy, version)
    sample = read(tmp_path / "A.cellbin.gef")
    np.testing.assert_array_equal(sample.adata.X.toarray(), counts.toarray())
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], (xy + 0.5) * 0.715)  # the first chips' pitch
    assert list(sample.adata.obs_names) == [str(i) for i in range(7, 37)]
    assert sample.adata.var["gene_ids"].iat[2] == ("G2" if version < 4 else "ENSG00000000002")
    assert sample.footprint.size_um == pytest.approx(2 * np.sqrt(400 * 0.715**2 / np.pi), abs=1e-3)
    with pytest.raises(UsageError, match="holds cells"):
        read(tmp_path / "A.cellbin.gef", bin_um=25)


def test_cells_beside_bins_are_named(tmp_path, study):
    shutil.copytree(study.raw / "outs", tmp_path / "outs")
    write_cellbin(
        tmp_path / "outs/feature_expression/S1.cellbin.gef", sparse.csr_matrix(np.eye(3, dtype=int)), np.eye(3, 2)
    )
    sample = read(tmp_path, mpp=1.0)
    assert sample.footprint.size_um == 25.0
    assert any("S1.cellbin.gef" in w for w in sample.warnings)


@pytest.mark.parametrize("corner", [True, False])
def test_stereopy_h5ad(tmp_path, study, corner):
    import anndata

    section = study.section
    var = pd.DataFrame({"real_gene_name": section.symbols.astype(object)}, index=section.gene_ids.astype(object))
    adata = anndata.AnnData(section.counts.astype(np.float32), pd.DataFrame(index=section.locations.names), var)
    adata.obsm["spatial"] = (2 * section.locations.xy_um - 16 * corner).astype(np.int64)
    adata.uns |= {"bin_type": "bins", "bin_size": 32, "resolution": 500, "sn": "A"}
    adata.write_h5ad(tmp_path / "A.h5ad")
    assert detect(tmp_path).platform == "stereoseq"
    sample = read(tmp_path)
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], section.locations.xy_um)
    assert (section.counts != sample.adata.X).nnz == 0
    assert list(sample.adata.var_names) == list(section.symbols)
    assert any("half a bin" in w for w in sample.warnings) is corner
    with pytest.raises(UsageError, match="holds bins of 16 µm"):
        read(tmp_path, bin_um=25)


def test_an_image_of_another_scale_is_said(study):
    assert any("beyond S1_HE_regist.tif" in w for w in read(study.raw).warnings)


def test_proteins_are_no_genes(tmp_path):
    (tmp_path / "a.gem").write_text("#Omics=Proteomics\ngeneID\tx\ty\tMIDCount\nCD4\t0\t0\t2\nCD8\t90\t0\t2\n")
    with pytest.raises(BadInputError, match="panel is empty"):
        read(tmp_path / "a.gem")


GEM = "geneID\tx\ty\tMIDCount\n"


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (GEM, BadInputError, "no counts"),
        (GEM + "A\t1\t2\n", BadInputError, "truncated or damaged|NaN"),
        (GEM + "A\t-1\t2\t3\n", BadInputError, "x -1 is out of range"),
        (GEM + "A\t1\t1e18\t3\n", BadInputError, "y 1e.18 is out of range"),
        (GEM + "A\t1\t2\t0.5\n", BadInputError, "MIDCount is not a whole number"),
        (GEM + "A\t1\t2\tnan\n", BadInputError, "MIDCount is NaN|truncated or damaged"),
        (GEM + "A\tone\t2\t3\n", BadInputError, "truncated or damaged"),
        ("#OffsetX=far\n" + GEM + "A\t1\t2\t3\n", BadInputError, "#OffsetX=far is no number"),
        ("#BinSize=20\n" + GEM + "A\t20\t40\t3\n", UsageError, "binned by 20"),
    ],
)
def test_bad_gem(tmp_path, text, error, says):
    (tmp_path / "a.gem").write_text(text)
    with pytest.raises(error, match=says):
        read(tmp_path / "a.gem")


def test_bad_bins_and_files(tmp_path, study):
    for bin_um in (7.3, 0.25, 1e6):
        with pytest.raises(UsageError, match=r"no multiple of the 0\.5 µm"):
            read(study.raw, bin_um=bin_um)
    with pytest.raises(MissingResourceError):
        read(tmp_path / "none.gef", "stereoseq")
    gef = next(study.raw.rglob("*.gef"))
    (tmp_path / "half.gef").write_bytes(gef.read_bytes()[: gef.stat().st_size // 2])
    (tmp_path / "empty.gem.gz").write_bytes(gzip.compress(b""))
    for name in ("half.gef", "empty.gem.gz"):
        with pytest.raises(BadInputError):
            read(tmp_path / name, "stereoseq")
    with pytest.raises(UsageError, match="several chips"):
        (tmp_path / "half2.gef").write_bytes(b"")
        read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.__delitem__("geneExp/bin1/gene"),
        lambda f: f.__delitem__("geneExp/bin1"),
        lambda f: f["geneExp/bin1/gene"].__setitem__((0, "count"), 10**6),
        lambda f: f["geneExp/bin1/expression"].__setitem__((0, "x"), -5),
        lambda f: f.move("geneExp", "other"),
    ],
)
def test_damaged_gef(tmp_path, study, change):
    path = tmp_path / "A.gef"
    shutil.copy(next(study.raw.rglob("*.gef")), path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FocusError) as caught:
        read(path)
    assert "A.gef" in caught.value.message and "\n" not in caught.value.message

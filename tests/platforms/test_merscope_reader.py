"""MERSCOPE: simulated and real regions are read as they are; its transform to mosaic pixels is honoured."""

from __future__ import annotations

import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read
from focus_cli.simulation import simulate

IDS = ["103327291694389284070574461648020091166", "105028411815552368766949841604861213395", "7", "8", "9"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("merscope") / "study"
    return simulate(out, platform="merscope", n_sections=1, size_um=700.0, n_genes=40, seed=3)


@pytest.fixture
def folder(tmp_path):
    """Five cells, two genes, two blanks."""
    folder = tmp_path / "region_0"
    (folder / "images").mkdir(parents=True)
    lines = ["cell,Comt,Ldha,Blank-1,Blank-12", *(f"{name},{i},{i + 1},1,0" for i, name in enumerate(IDS))]
    (folder / "cell_by_gene.csv").write_text("\n".join(lines) + "\n")
    lines = [f"{name},0,500.5,{1000 + 10 * i},{2000 + 7 * i}" for i, name in enumerate(IDS)]
    header = "EntityID,fov,volume,center_x,center_y"
    (folder / "cell_metadata.csv").write_text("\n".join([header, *reversed(lines)]) + "\n")
    return folder


def transform(folder, text):
    (folder / "images" / "micron_to_mosaic_pixel_transform.csv").write_text(text)


def test_a_simulated_region_gives_its_truth(study):
    raw = study / "sections" / "S1"
    sample = read(raw)
    truth = anndata.read_h5ad(study / "truth" / "S1.h5ad")
    drawn = pd.read_csv(raw / "cell_by_gene.csv", dtype={"cell": str}, index_col="cell")
    assert (sample.platform.name, sample.platform.technology) == ("merscope", "imaging")
    assert list(sample.adata.obs_names) == list(truth.obs_names) == list(drawn.index)
    assert list(sample.adata.var_names) == list(truth.var_names[truth.var["measured"]]) == list(drawn.columns[:-5])
    np.testing.assert_array_equal(sample.adata.X.toarray(), drawn.iloc[:, :-5])
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], truth.obsm["spatial_um"], atol=1e-5)
    np.testing.assert_allclose(sample.adata.obsm["spatial"], truth.obsm["spatial"], atol=1e-5)
    assert sample.mpp == pytest.approx(1.0)
    assert sample.footprint.size_um == pytest.approx(10, abs=1e-3)
    assert sample.image_path.name == "S1_HE.tif"
    assert not detect(raw).problems


def test_ids_keep_every_digit_and_blanks_are_no_genes(folder):
    sample = read(folder)
    assert list(sample.adata.obs_names) == IDS
    assert list(sample.adata.var_names) == ["Comt", "Ldha"]
    np.testing.assert_array_equal(sample.adata.X.toarray(), [[i, i + 1] for i in range(5)])
    assert any("2 Blank" in w for w in sample.warnings)
    # The cells are in another order in the metadata.
    np.testing.assert_array_equal(sample.adata.obsm["spatial_um"], [[1000 + 10 * i, 2000 + 7 * i] for i in range(5)])
    assert sample.mpp == 1.0
    assert any("micron_to_mosaic_pixel_transform.csv is missing" in w for w in sample.warnings)


@pytest.mark.parametrize("separator", [" ", ",", "\t"])
def test_the_transform_gives_mosaic_pixels(folder, separator):
    rows = [["9.25", "0", "-9000"], ["0", "9.25", "-18000"], ["0", "0", "1"]]
    transform(folder, "\n".join(separator.join(row) for row in rows) + "\n")
    sample = read(folder)
    um = np.array([[1000 + 10 * i, 2000 + 7 * i] for i in range(5)])
    np.testing.assert_allclose(sample.adata.obsm["spatial"], um * 9.25 - (9000, 18000))
    assert sample.mpp == pytest.approx(1 / 9.25)
    np.testing.assert_allclose(np.diff(sample.adata.obsm["spatial_um"], axis=0), np.diff(um, axis=0))
    np.testing.assert_allclose(sample.adata.obs[["center_x", "center_y"]], um)
    # Coarser pixels from the same corner.
    coarse = read(folder, mpp=0.5)
    np.testing.assert_allclose(coarse.adata.obsm["spatial_um"], sample.adata.obsm["spatial_um"])
    np.testing.assert_allclose(coarse.adata.obsm["spatial"], sample.adata.obsm["spatial_um"] / 0.5)


@pytest.mark.parametrize(
    "text",
    ["", "9 0 0\n0 9 0\n", "9 0 0\n0 0 0\n0 0 1\n", "x y z\n" * 3, "9 0 0\n0 9 0\n0 1 1\n", "1e9 0 0\n0 1e9 0\n0 0 1"],
)
def test_a_damaged_transform_is_refused(folder, text):
    transform(folder, text)
    with pytest.raises(BadInputError, match=r"micron_to_mosaic_pixel_transform\.csv"):
        read(folder)


def test_unnamed_ids_and_prefixed_names(folder):
    for name, ids in (("cell_by_gene", "cell"), ("cell_metadata", "EntityID")):
        path = folder / f"{name}.csv"
        path.rename(folder / f"Liver1Slice1_{name}.csv")
        text = (folder / f"Liver1Slice1_{name}.csv").read_text().removeprefix(ids)
        (folder / f"Liver1Slice1_{name}.csv").write_text(text)
    sample = read(folder)
    assert list(sample.adata.obs_names) == IDS
    assert sample.inputs["positions"].name == "Liver1Slice1_cell_metadata.csv"


def test_the_folder_above_and_several_regions(folder, tmp_path):
    assert detect(tmp_path).platform == "merscope"
    assert read(tmp_path).adata.n_obs == 5
    (tmp_path / "region_1").mkdir()
    for name in ("cell_by_gene.csv", "cell_metadata.csv"):
        (tmp_path / "region_1" / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(UsageError, match=r"2 regions \(region_0, region_1"):
        read(tmp_path)
    assert "2 regions" in detect(tmp_path).problems[0]


def test_a_region_is_chosen_by_name(folder, tmp_path):
    whole = read(folder)
    for name in ("region_0", "region_1"):
        copy = tmp_path / "run" / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copytree(folder, copy)
    np.testing.assert_array_equal(read(tmp_path / "run", region="region_1").adata.X.toarray(), whole.adata.X.toarray())
    with pytest.raises(UsageError, match="no region 'region_2'"):
        read(tmp_path / "run", region="region_2")
    with pytest.raises(UsageError, match="no region 'x'"):
        read(folder, region="x")
    prefixed = tmp_path / "prefixed"
    prefixed.mkdir()
    for name in ("A", "B"):
        for file in folder.glob("*.csv"):
            shutil.copy(file, prefixed / f"{name}_{file.name}")
    with pytest.raises(UsageError) as refused:
        read(prefixed)
    assert "choose one of A, B with --region" in refused.value.hint
    assert read(prefixed, region="B").inputs["matrix"].name.startswith("B_")


def test_two_sections_in_a_folder_are_told_apart_by_the_counts_file(folder):
    for name in ("cell_by_gene", "cell_metadata"):
        content = (folder / f"{name}.csv").read_text()
        (folder / f"{name}.csv").unlink()
        (folder / f"{name}_S1R1.csv").write_text(content)
        (folder / f"{name}_S1R2.csv").write_text(content.replace("\n7,", "\n77,"))
    with pytest.raises(UsageError, match=r"cell_by_gene_S1R1.csv, cell_by_gene_S1R2.csv"):
        read(folder)
    sample = read(folder / "cell_by_gene_S1R2.csv")
    assert sample.inputs["positions"].name == "cell_metadata_S1R2.csv"
    assert "77" in sample.adata.obs_names


def test_mosaics_are_never_the_he(folder):
    for name in ("mosaic_DAPI_z3.tif", "mosaic_PolyT_z3.tif", "mosaic_Cellbound1_z3.tif", "DAPI_image.tif"):
        Image.new("L", (32, 32)).save(folder / "images" / name)
    assert read(folder).image_path is None


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("cell_by_gene", "cell,", "what,", "no column of cell ids"),
        ("cell_by_gene", "Comt,Ldha", "Comt,Comt", "'Comt' comes twice"),
        ("cell_by_gene", "7,2,3,1,0", "7,2,3,1", "a count is missing in row 3"),
        ("cell_by_gene", "7,2,3,1,0", "7,2,3,1,0,5", "damaged"),
        ("cell_by_gene", "7,2,3,1,0", "7,2,-3,1,0", "negative"),
        ("cell_by_gene", "7,2,3,1,0", "7,2,3.5,1,0", "not whole numbers"),
        ("cell_by_gene", "7,2,3,1,0", "7,2,many,1,0", "'Ldha' is not numeric"),
        ("cell_by_gene", "7,2,3,1,0", "7,2,1e300,1,0", "infinite"),
        ("cell_by_gene", "\n7,", "\n8,", "duplicate cells"),
        ("cell_metadata", "center_x", "centre", "column 'center_x' is missing"),
        ("cell_metadata", "7,0,500.5,1020", "7,0,500.5,here", "'center_x' is not numeric"),
        ("cell_metadata", "7,0,500.5,1020", "7,0,500.5,", "NaN"),
        ("cell_metadata", "7,0,500.5,1020", "7,0,500.5,1e7", "farther than any slide"),
    ],
)
def test_bad_tables_are_refused(folder, file, old, new, said):
    path = folder / f"{file}.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BadInputError, match=said):
        read(folder)


def test_ids_that_a_spreadsheet_rounded_are_refused(folder):
    for file in ("cell_by_gene", "cell_metadata"):
        table = pd.read_csv(folder / f"{file}.csv", dtype={0: str})
        table[table.columns[0]] = [f"1.0{i}E+38" for i in range(5)]
        table.to_csv(folder / f"{file}.csv", index=False)
    with pytest.raises(BadInputError, match="spreadsheet"):
        read(folder)


@pytest.mark.parametrize("name", ["cell_by_gene.csv", "cell_metadata.csv"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01" * 100, bytes(range(256)), "cell,é\n".encode("utf-16"), b"\x1f\x8b\x08"]
)
def test_damaged_files_are_refused(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(BadInputError):
        read(folder)


def test_missing_metadata_is_named(folder):
    (folder / "cell_metadata.csv").unlink()
    with pytest.raises(MissingResourceError, match=r"cell_metadata\.csv is missing"):
        read(folder)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "prefix", "ids", "shape", "blanks"),
    [
        ("merscope", "Liver1Slice1_", ("Unnamed: 0", "Unnamed: 0"), (100, 347), 38),
        ("merscope_cellbound", "", ("cell", "EntityID"), (1058, 49), 39),
    ],
)
def test_the_real_regions(focus_data, name, prefix, ids, shape, blanks):
    folder = focus_data / "native" / name
    sample = read(folder)
    counts = pd.read_csv(folder / f"{prefix}cell_by_gene.csv", dtype={ids[0]: str}).set_index(ids[0])
    cells = pd.read_csv(folder / f"{prefix}cell_metadata.csv", dtype={ids[1]: str}).set_index(ids[1])
    genes = [c for c in counts.columns if not c.startswith("Blank")]
    assert sample.adata.shape == shape == (len(counts), len(genes))
    assert list(sample.adata.obs_names) == list(counts.index)
    assert list(sample.adata.var_names) == genes
    np.testing.assert_array_equal(sample.adata.X.toarray(), counts[genes])
    expected = cells.loc[counts.index, ["center_x", "center_y"]]
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], expected, rtol=1e-12)
    assert any(f"{blanks} Blank" in w for w in sample.warnings)
    assert sample.image_path is None
    assert detect(folder).problems == ("images/micron_to_mosaic_pixel_transform.csv is missing",)


def test_regions_under_any_case_are_regions(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "Region_R1")
    with pytest.raises(UsageError, match=r"2 regions \(Region_R1, region_0"):
        read(tmp_path)
    assert read(tmp_path, region="Region_R1").adata.n_obs == 5


@pytest.mark.parametrize("column", ["region", "sample", "slice_id"])
@pytest.mark.parametrize("overlap", [True, False])
def test_regions_that_were_joined_into_one_table(tmp_path, column, overlap):
    rng = np.random.default_rng(0)
    counts, cells = ["cell,Comt,Ldha"], [f"EntityID,{column},center_x,center_y"]
    for r in range(2):
        grid = np.stack(np.meshgrid(np.arange(20), np.arange(20)), axis=-1).reshape(-1, 2) * 10.0
        for i, (x, y) in enumerate(grid + rng.uniform(-3, 3, grid.shape) + [r * (5 if overlap else 300), 0]):
            counts.append(f"{r}{i:04d},{r},{i % 7}")
            cells.append(f"{r}{i:04d},r{r},{x:.2f},{y:.2f}")
    (tmp_path / "cell_by_gene.csv").write_text("\n".join(counts) + "\n")
    (tmp_path / "cell_metadata.csv").write_text("\n".join(cells) + "\n")
    if not overlap:
        assert read(tmp_path).adata.n_obs == 800
        return
    with pytest.raises(UsageError, match="r0, r1"):
        read(tmp_path)
    sample = read(tmp_path, region="r1")
    assert sample.adata.n_obs == 400
    assert (sample.adata[:, "Comt"].X.toarray() == 1).all()

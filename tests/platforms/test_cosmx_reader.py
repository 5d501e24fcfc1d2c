"""CosMx: simulated and real flat files are read as they are; y, which points up on the slide, is turned over."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read
from focus_cli.simulation import simulate


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("cosmx") / "study"
    return simulate(out, platform="cosmx", n_sections=1, size_um=700.0, n_genes=40, seed=3)


@pytest.fixture
def folder(tmp_path):
    """Four cells in two fields, three genes, three controls, as an early release writes them."""
    (tmp_path / "R_exprMat_file.csv").write_text(
        "fov,cell_ID,Aph1b/c,Nefl,NegativeX,NegPrb3,SystemControl12,FalseCode4\n"
        "1,0,90,80,70,60,50,40\n1,1,1,0,2,1,0,0\n1,2,0,3,0,0,1,0\n2,0,9,9,9,9,9,9\n2,1,5,0,1,0,0,1\n2,2,0,0,4,0,0,0\n"
    )
    (tmp_path / "R_metadata_file.csv").write_text(
        "fov,cell_ID,Area,CenterX_local_px,CenterY_local_px,CenterX_global_px,CenterY_global_px\n"
        "1,1,10000,100,500,10100,20500\n1,2,10000,300,900,10300,20900\n"
        "2,1,10000,700,100,14700,20100\n2,2,10000,900,800,14900,20800\n"
    )
    return tmp_path


def change(folder, file, old, new):
    path = folder / f"R_{file}_file.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_simulated_flat_files_give_their_truth(study):
    raw = study / "sections" / "S1"
    sample = read(raw)
    truth = anndata.read_h5ad(study / "truth" / "S1.h5ad")
    drawn = pd.read_csv(raw / "S1_exprMat_file.csv").query("cell_ID > 0")
    names = [f"c_1_{fov}_{cell}" for fov, cell in zip(drawn["fov"], drawn["cell_ID"])]
    genes = list(drawn.columns[2:-3])
    assert (sample.platform.name, sample.platform.technology) == ("cosmx", "imaging")
    assert list(sample.adata.obs_names) == list(truth.obs_names) == names
    assert list(sample.adata.var_names) == list(truth.var_names[truth.var["measured"]]) == genes
    np.testing.assert_array_equal(sample.adata.X.toarray(), drawn[genes])
    # Local pixels are whole numbers: the corner of the fields is known to a fraction of one.
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], truth.obsm["spatial_um"], atol=0.3)
    assert sample.mpp == pytest.approx(1.0, rel=1e-4)  # from the table of fields, in px and mm
    assert sample.footprint.size_um == pytest.approx(10, abs=0.01)
    assert sample.image_path.name == "S1_HE.tif"
    assert any("transcripts outside of cells" in w for w in sample.warnings)


def test_cells_controls_and_the_space_outside(folder):
    sample = read(folder)
    assert list(sample.adata.obs_names) == ["1_1", "1_2", "2_1", "2_2"]
    assert list(sample.adata.var_names) == ["Aph1b/c", "Nefl", "NegativeX"]
    np.testing.assert_array_equal(sample.adata.X.toarray(), [[1, 0, 2], [0, 3, 0], [5, 0, 1], [0, 0, 4]])
    said = " ".join(sample.warnings)
    assert "1 False Code, 1 Negative Control Probe, 1 System Control" in said
    assert "444 transcripts outside of cells (cell_ID 0, 2 rows)" in said
    assert sample.footprint.size_um == pytest.approx(2 * np.sqrt(10000 / np.pi) * 0.12028, abs=1e-3)


def test_y_is_turned_over(folder):
    sample = read(folder)
    xy = sample.adata.obsm["spatial"]
    np.testing.assert_allclose(xy, [[0, 400], [200, 0], [4600, 800], [4800, 100]])  # from the box of the cells
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], xy * 0.12028)
    np.testing.assert_array_equal(sample.adata.obs["CenterY_global_px"], [20500, 20900, 20100, 20800])
    assert any("0.12028 µm is taken" in w for w in sample.warnings)
    given = read(folder, mpp=0.18)
    np.testing.assert_allclose(given.adata.obsm["spatial_um"], xy * 0.18)


def test_fields_that_count_down_give_their_corner(folder):
    table = pd.read_csv(folder / "R_metadata_file.csv")
    table["CenterY_local_px"] = 21000 - table["CenterY_global_px"]  # y down from the top of each field
    table.to_csv(folder / "R_metadata_file.csv", index=False)
    xy = read(folder).adata.obsm["spatial"]
    np.testing.assert_allclose(xy, np.column_stack([table["CenterX_global_px"] - 10000, table["CenterY_local_px"]]))


def test_pixel_size_of_the_older_instrument(folder):
    change(folder, "metadata", "2,2,10000,900,800,14900", "2,2,10000,5300,800,19300")
    sample = read(folder)
    assert sample.mpp == 0.18
    assert any("older instrument" in w for w in sample.warnings)


def test_pixel_size_from_two_units(folder):
    (folder / "R_fov_positions_file.csv").write_text(
        "FOV,x_global_px,y_global_px,x_global_mm,y_global_mm\n1,10000,21000,1.5,3.15\n2,14000,21000,2.1,3.15\n"
    )
    sample = read(folder)
    assert sample.mpp == pytest.approx(0.15)
    assert "fields" in sample.inputs
    assert any("--mpp states 0.18" in w for w in read(folder, mpp=0.18).warnings)


def test_positions_in_mm_alone(folder):
    table = pd.read_csv(folder / "R_metadata_file.csv")
    table["x_slide_mm"] = table.pop("CenterX_global_px") / 1000
    table["y_slide_mm"] = table.pop("CenterY_global_px") / 1000
    table.drop(columns=["CenterX_local_px", "CenterY_local_px"]).to_csv(folder / "R_metadata_file.csv", index=False)
    um = read(folder).adata.obsm["spatial_um"]
    np.testing.assert_allclose(um - um[0], [[0, 0], [200, -400], [4600, 400], [4800, -300]], atol=1e-6)


def test_names_of_the_vendor_are_kept(folder):
    table = pd.read_csv(folder / "R_metadata_file.csv")
    table["cell"] = [f"c_3_{f}_{c}" for f, c in zip(table["fov"], table["cell_ID"])]
    table.iloc[::-1].to_csv(folder / "R_metadata_file.csv", index=False)
    sample = read(folder)
    assert list(sample.adata.obs_names) == ["c_3_1_1", "c_3_1_2", "c_3_2_1", "c_3_2_2"]
    np.testing.assert_array_equal(sample.adata.X.toarray()[:, 0], [1, 0, 5, 0])


def test_gzipped_files_and_the_counts_file_itself(folder):
    expected = read(folder).adata
    for file in sorted(folder.iterdir()):
        pd.read_csv(file).to_csv(f"{file}.gz", index=False)
        file.unlink()
    for path in (folder, folder / "R_exprMat_file.csv.gz"):
        assert detect(path).platform == "cosmx"
        assert (read(path).adata.X != expected.X).nnz == 0


def test_two_slides_are_not_guessed_between(folder):
    for part in ("exprMat", "metadata"):
        (folder / f"Q_{part}_file.csv").write_text((folder / f"R_{part}_file.csv").read_text())
    with pytest.raises(UsageError, match=r"Q_exprMat_file.csv, R_exprMat_file.csv"):
        read(folder)
    assert read(folder / "Q_exprMat_file.csv").inputs["positions"].name == "Q_metadata_file.csv"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("exprMat", "fov,cell_ID", "fov,what", "column 'cell_ID' is missing"),
        ("exprMat", "1,1,1,0,2,1,0,0", "1,1,1,0,2,1,0", "a count is missing in row 2"),
        ("exprMat", "1,1,1,0,2,1,0,0", "1,1,1,0.5,2,1,0,0", "not whole numbers"),
        ("exprMat", "1,1,1,0,2,1,0,0", "1,1,1,?,2,1,0,0", "'Nefl' is not numeric"),
        ("exprMat", "\n1,2,", "\n1,1,", "duplicate cells"),
        ("exprMat", ",Nefl,", ",Aph1b/c,", "'Aph1b/c' comes twice"),
        ("metadata", "fov,cell_ID", "fov,cell", "column 'cell_ID' is missing"),
        ("metadata", "CenterX_global_px", "X", "'CenterX_global_px' is missing"),
        ("metadata", "10100,20500", "inf,20500", "NaN or infinite"),
        ("metadata", "10100,20500", ",20500", "NaN or infinite"),
        ("metadata", "10100,20500", "1e7,20500", "farther than any slide"),
        ("metadata", "10100,20500", "left,20500", "is not numeric"),
        ("metadata", "\n1,1,", "\n9,1,", None),
    ],
)
def test_bad_tables_are_refused(folder, file, old, new, said):
    change(folder, file, old, new)
    if said is None:  # one cell of four without position is left out
        assert any("1 of 4 cells have no position" in w for w in read(folder).warnings)
        return
    with pytest.raises(BadInputError, match=said):
        read(folder)


@pytest.mark.parametrize("part", ["exprMat", "metadata"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 64, bytes(range(256)), "fov,é\n".encode("utf-16"), b"\x1f\x8b\x08"])
def test_damaged_files_are_refused(folder, part, content):
    (folder / f"R_{part}_file.csv").write_bytes(content)
    with pytest.raises(BadInputError):
        read(folder)


def test_missing_metadata_is_named(folder):
    (folder / "R_metadata_file.csv").unlink()
    assert "metadata_file.csv is missing" in detect(folder).problems
    with pytest.raises(MissingResourceError, match=r"metadata_file\.csv is missing"):
        read(folder)


@pytest.mark.realdata
def test_the_real_flat_files(focus_data):
    folder = focus_data / "native" / "cosmx"
    sample = read(folder)
    counts = pd.read_csv(folder / "Run5642_S3_Quarter_exprMat_file.csv").query("cell_ID > 0")
    cells = pd.read_csv(folder / "Run5642_S3_Quarter_metadata_file.csv").set_index(["fov", "cell_ID"])
    genes = [c for c in counts.columns[2:] if not c.startswith("NegPrb")]
    assert sample.adata.shape == (27, 950) == (len(counts), len(genes))
    assert list(sample.adata.obs_names) == [f"{f}_{c}" for f, c in zip(counts["fov"], counts["cell_ID"])]
    assert list(sample.adata.var_names) == genes
    np.testing.assert_array_equal(sample.adata.X.toarray(), counts[genes])
    cells = cells.loc[list(zip(counts["fov"], counts["cell_ID"]))]
    xy = sample.adata.obsm["spatial"]
    np.testing.assert_allclose(np.diff(xy[:, 0]), np.diff(cells["CenterX_global_px"]))
    np.testing.assert_allclose(np.diff(xy[:, 1]), -np.diff(cells["CenterY_global_px"]))
    assert sample.mpp == 0.12028
    # A molecule of a cell lies near it: the transcripts share the vendor's frame.
    molecules = pd.read_csv(folder / "Run5642_S3_Quarter_tx_file.csv").query("cell_ID > 0")
    centres = molecules.groupby(["fov", "cell_ID"])[["x_global_px", "y_global_px"]].median()
    both = centres.index.intersection(cells.index)
    apart = centres.loc[both].to_numpy() - cells.loc[both, ["CenterX_global_px", "CenterY_global_px"]].to_numpy()
    assert len(both) > 5 and np.median(np.hypot(*apart.T)) * sample.mpp < sample.footprint.size_um


# ---- several slides ------------------------------------------------------------------------------------------

CELLS = [(fov, cell) for fov in (1, 2) for cell in range(1, 16)]


def several_slides(folder, in_counts=(), in_cells=("slide_ID",), order=None):
    """Two slides of the same numbers of fields and cells, at the same global pixels; the second counts more."""
    rng = np.random.default_rng(0)
    rows, cells = [], []
    for slide in (1, 2):
        for fov, cell in CELLS:
            names = {"slide_ID": slide, "Run_Tissue_name": f"Liver{slide}", "cell": f"c_{slide}_{fov}_{cell}"}
            place = {"CenterX_global_px": 5000 * fov + 100 * cell, "CenterY_global_px": 90 * (cell % 5) + slide}
            rows.append({"fov": fov, "cell_ID": cell} | {k: names[k] for k in in_counts})
            rows[-1] |= {"A": rng.poisson(3), "B": 1000 * slide + 10 * fov + cell}
            cells.append({"fov": fov, "cell_ID": cell, "Area": 900} | {k: names[k] for k in in_cells} | place)
    cells = pd.DataFrame(cells)
    pd.DataFrame(rows).to_csv(folder / "R_exprMat_file.csv", index=False)
    (cells if order is None else cells.sample(frac=1, random_state=order)).to_csv(
        folder / "R_metadata_file.csv", index=False
    )
    return folder


@pytest.mark.parametrize(
    ("in_counts", "in_cells", "order"),
    [
        ((), ("slide_ID",), None),
        (("slide_ID",), ("slide_ID",), 1),
        (("slide_ID", "cell"), ("slide_ID", "Run_Tissue_name", "cell"), 1),
        (("cell",), ("slide_ID", "cell"), 1),
        (("cell",), ("cell",), 1),
    ],
)
def test_each_slide_of_an_export_of_several(tmp_path, in_counts, in_cells, order):
    folder = several_slides(tmp_path, in_counts, in_cells, order)
    with pytest.raises(UsageError, match=r"holds 2 regions \(1, 2\)") as refused:
        read(folder)
    assert "--region" in refused.value.hint
    with pytest.raises(UsageError, match="no region '3'"):
        read(folder, region="3")
    for slide in (1, 2):
        sample = read(folder, region=str(slide))
        assert sample.adata.n_obs == len(CELLS)
        place = sample.adata.obs["fov"].astype(int) * 10
        expected = sorted(1000 * slide + 10 * fov + cell for fov, cell in CELLS)
        assert sorted(sample.adata[:, "B"].X.toarray().ravel()) == expected
        by_place = sample.adata.obs["CenterX_global_px"] - 5000 * sample.adata.obs["fov"].astype(int)
        np.testing.assert_array_equal(
            sample.adata[:, "B"].X.toarray().ravel(), 1000 * slide + place + by_place.to_numpy() / 100
        )


def test_slides_by_the_name_of_the_tissue(tmp_path):
    folder = several_slides(tmp_path, ("Run_Tissue_name",), ("Run_Tissue_name",))
    with pytest.raises(UsageError, match="Liver1, Liver2"):
        read(folder)
    assert read(folder, region="Liver2").adata[:, "B"].X.min() > 2000


def test_counts_that_do_not_say_their_slide(tmp_path):
    folder = several_slides(tmp_path, (), ("slide_ID",), order=1)
    with pytest.raises(BadInputError, match="no column states on which of the slides"):
        read(folder, region="1")


def test_a_region_where_there_is_one_slide(folder):
    with pytest.raises(UsageError, match="no region 'x'"):
        read(folder, region="x")


def export(folder, fields, scale=1.0, seed=0):
    """Flat files of forty cells in each field, {fov: global place of its corner}, without columns of slides."""
    rng = np.random.default_rng(seed)
    counts, cells = ["fov,cell_ID,Nefl,Snap25"], ["fov,cell_ID,CenterX_local_px,CenterY_local_px,"]
    cells[0] += "CenterX_global_px,CenterY_global_px"
    for fov, (left, top) in fields.items():
        for cell, (x, y) in enumerate(rng.uniform(0, 4256, (40, 2)), start=1):
            counts.append(f"{fov},{cell},{cell},1")
            cells.append(f"{fov},{cell},{x:.0f},{y:.0f},{(left + x) * scale:.3f},{(top - y) * scale:.3f}")
    (folder / "R_exprMat_file.csv").write_text("\n".join(counts) + "\n")
    (folder / "R_metadata_file.csv").write_text("\n".join(cells) + "\n")
    return folder


def test_slides_whose_fields_were_numbered_on_are_no_one_slide(tmp_path):
    side_by_side = {i: (4256 * i, 9000) for i in range(1, 7)}
    assert read(export(tmp_path, side_by_side)).adata.n_obs == 240
    on_top = {i: (4256 * (i % 3), 9000) for i in range(1, 7)}
    with pytest.raises(BadInputError, match="lie on top of each other") as refused:
        read(export(tmp_path, on_top))
    assert "slide_ID" in refused.value.hint


@pytest.mark.parametrize("scale", [0.12028, 0.001, 10.0])
def test_global_pixels_that_are_none_are_refused(tmp_path, scale):
    with pytest.raises(BadInputError, match="times as far apart by CenterX_global_px"):
        read(export(tmp_path, {1: (0, 5000), 2: (4256, 5000)}, scale))


@pytest.mark.parametrize("file", ["exprMat", "metadata"])
def test_ids_with_decimals_are_the_same_ids(folder, file):
    whole = read(folder)
    path = folder / f"R_{file}_file.csv"
    table = pd.read_csv(path).astype({"fov": float, "cell_ID": float})
    table.to_csv(path, index=False)
    sample = read(folder)
    assert list(sample.adata.obs_names) == list(whole.adata.obs_names)
    np.testing.assert_array_equal(sample.adata.X.toarray(), whole.adata.X.toarray())


def test_the_number_of_cells_without_a_position_is_right(folder):
    change(folder, "metadata", "10100,20500", ",")
    with pytest.raises(BadInputError, match=r": 1 positions? (is|are) NaN"):
        read(folder)


def test_controls_under_the_names_of_all_exports(folder):
    names = ["Negative01", "Custom_NegPrb3", "NegAdd-2", "Negative", "SystemControl1", "custom_neg4", "Nega", "Negr1"]
    rows = ["fov,cell_ID,Nefl," + ",".join(names), *(f"{f},{c},1" + ",1" * len(names) for f in (1, 2) for c in (1, 2))]
    (folder / "R_exprMat_file.csv").write_text("\n".join(rows) + "\n")
    assert list(read(folder).adata.var_names) == ["Nefl", "Nega", "Negr1"]

"""Legacy ST: counts and spot file joined by ``XxY``, scale from the printed array, sections by path."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from raw_folders import write_legacy

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read


def test_counts_and_positions_are_joined_by_name(tmp_path):
    raw = write_legacy(tmp_path / "D")
    sample = read(tmp_path / "D" / "ST-cnts" / "A1.tsv.gz")
    adata = sample.adata
    assert sample.platform.name == "legacy_st"
    order = raw.positions.index.get_indexer(adata.obs_names)
    np.testing.assert_array_equal(adata.X.toarray(), raw.counts[order])
    np.testing.assert_allclose(adata.obsm["spatial"], raw.positions[["pixel_x", "pixel_y"]].to_numpy()[order])
    assert sample.mpp == pytest.approx(0.7, rel=1e-6)
    assert (sample.footprint.size_um, sample.footprint.pitch_um) == (100.0, 200.0)
    assert sample.image_path is None and any("no H&E" in w for w in sample.warnings)


def test_a_section_is_named_by_its_id(tmp_path):
    write_legacy(tmp_path / "D", "A1")
    write_legacy(tmp_path / "D", "B2", seed=1)
    assert detect(tmp_path / "D" / "B2").platform == "legacy_st"
    assert read(tmp_path / "D" / "B2").adata.X.sum() != read(tmp_path / "D" / "A1").adata.X.sum()
    with pytest.raises(UsageError, match="A1, B2"):
        read(tmp_path / "D")
    with pytest.raises(MissingResourceError, match="C3"):
        read(tmp_path / "D" / "C3")


def test_a_lone_section_needs_no_name(tmp_path):
    raw = write_legacy(tmp_path / "D")
    assert read(tmp_path / "D").adata.n_obs == len(raw.positions)


def test_image_of_the_section_is_found(tmp_path):
    write_legacy(tmp_path / "D")
    folder = tmp_path / "D" / "ST-imgs" / "A" / "A1"
    folder.mkdir(parents=True)
    Image.new("RGB", (50, 50), "pink").save(folder / "any_name.jpg")
    assert read(tmp_path / "D").image_path == folder / "any_name.jpg"


def test_missing_spot_file_is_named(tmp_path):
    write_legacy(tmp_path / "D")
    (tmp_path / "D" / "ST-spotfiles" / "A1_selection.tsv").unlink()
    with pytest.raises(MissingResourceError, match=r"A1_selection\.tsv"):
        read(tmp_path / "D")


def as_geo_holds_it(folder, *, ending=".tsv.gz", sep="\t", names=None, select="spot_data-selection-{}", **changes):
    """One section as GEO holds it: two tables side by side, each prefixed by an accession number."""
    raw = write_legacy(folder / "made")
    counts = pd.DataFrame(raw.counts, index=raw.positions.index, columns=raw.symbols)
    spots = raw.positions.assign(**changes)
    flat = folder / "flat"
    flat.mkdir()
    counts_name, spots_name = names or ("GSM0000002_P2_ST_rep1_stdata", f"GSM0000002_{select.format('P2_ST_rep1')}")
    counts.to_csv(flat / f"{counts_name}{ending}", sep=sep)
    spots.to_csv(flat / f"{spots_name}{ending}", sep=sep, index=False)
    return flat, raw


@pytest.mark.parametrize(
    ("ending", "sep", "names"),
    [
        (".tsv.gz", "\t", None),
        (".csv", ",", None),
        (".csv", ";", None),
        (".tsv", "\t", ("GSM1_P2_rep1_stdata", "GSM1_selection-P2_rep1-spot_data")),
        (".txt.gz", "\t", ("stdata_P2", "P2_spots_selected")),
        (".tsv", "\t", ("GSM77_counts", "GSM77_spot_data-all")),
    ],
)
def test_counts_and_spots_side_by_side(ending, sep, names, tmp_path):
    flat, raw = as_geo_holds_it(tmp_path, ending=ending, sep=sep, names=names)
    found = detect(flat)
    assert (found.platform, len(found.evidence), found.problems) == ("legacy_st", 2, ())
    sample = read(flat)
    order = raw.positions.index.get_indexer(sample.adata.obs_names)
    np.testing.assert_array_equal(sample.adata.X.toarray(), raw.counts[order])
    np.testing.assert_allclose(sample.adata.obsm["spatial"], raw.positions[["pixel_x", "pixel_y"]].to_numpy()[order])
    assert sample.mpp == pytest.approx(0.7, rel=1e-6)
    assert (sample.footprint.size_um, sample.footprint.pitch_um) == (100.0, 200.0)
    for file in flat.iterdir():
        assert detect(file).platform == "legacy_st"
        assert read(file).adata.n_obs == len(raw.positions)


def test_several_sections_side_by_side_are_chosen_by_name(tmp_path):
    flat, raw = as_geo_holds_it(tmp_path)
    other, second = as_geo_holds_it(tmp_path / "other", names=("GSM3_P5_stdata", "GSM3_spot_data-selection-P5"))
    for file in other.iterdir():
        file.rename(flat / file.name)
    assert detect(flat).platform == "legacy_st"
    with pytest.raises(UsageError, match=r"P2_rep1, P5"):
        read(flat)
    assert read(flat, region="P5").adata.X.sum() == second.counts.sum()
    assert read(flat / "GSM0000002_P2_ST_rep1_stdata.tsv.gz").adata.X.sum() == raw.counts.sum()


@pytest.mark.parametrize(
    ("selected", "under"),
    [([""] * 72, 72), (["1", "0"] * 36, 36), (["TRUE", "FALSE"] * 36, 36)],
)
def test_what_the_column_selected_may_hold(selected, under, tmp_path):
    flat, _ = as_geo_holds_it(tmp_path, selected=selected)
    sample = read(flat)
    assert sample.adata.obs["in_tissue"].sum() == under
    assert any("is empty: all spots count" in w for w in sample.warnings) == (selected[0] == "")


def test_a_column_without_a_gene_is_left_out(tmp_path):
    raw = write_legacy(tmp_path / "D")
    file = tmp_path / "D" / "ST-cnts" / "A1.tsv.gz"
    table = pd.read_csv(file, sep="\t", index_col=0).rename(columns={"Gene3": "NA"})
    table.to_csv(file, sep="\t")
    sample = read(tmp_path / "D")
    assert sample.adata.n_vars == len(raw.symbols) - 1 and "Gene3" not in sample.adata.var_names


def test_a_selection_with_other_words_is_refused(tmp_path):
    flat, _ = as_geo_holds_it(tmp_path, selected=["perhaps"] * 72)
    with pytest.raises(BadInputError, match="'selected' holds 'perhaps'"):
        read(flat)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_table_alone_is_placed_by_its_names_where_the_platform_is_chosen(transposed, tmp_path):
    names = ["13.064x6.086", "12.116x7.015", "13.945x6.999"]
    table = pd.DataFrame([[1, 0], [0, 2], [3, 4]], index=names, columns=["A", "B"])
    file = tmp_path / "slice1.csv"
    (table.T if transposed else table).to_csv(file)
    with pytest.raises(UsageError, match="weak sign") as caught:
        read(file)
    assert caught.value.hint == "choose: --platform legacy_st"
    sample = read(file, "legacy_st")
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"][0], [2612.8, 1217.2])
    np.testing.assert_array_equal(sample.adata.X.toarray(), table.to_numpy())
    assert any("the names of the spots place them" in w for w in sample.warnings)
    Image.new("RGB", (50, 50), "pink").save(tmp_path / "he.jpg")
    with pytest.raises(MissingResourceError, match="table of spots"):
        read(file, "legacy_st", image=tmp_path / "he.jpg")

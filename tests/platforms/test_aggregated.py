"""Outputs of `spaceranger aggr`: named as such; one library is read, with its own counts and positions."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from raw_folders import COLUMNS, renumber, write_aggregated, write_matrix_h5, write_visium

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.platforms import describe, detect, read

H5 = "filtered_feature_bc_matrix.h5"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder, and the two libraries that went into it: in the sheet the second by name comes first."""
    top = tmp_path_factory.mktemp("aggr")
    libraries = {
        name: write_visium(top / name, n_rows=12, n_cols=10, image=None, seed=i, mpp=1.5 + i)
        for i, name in enumerate(("tumour", "healthy"))
    }
    outs = top / "run" / "outs"
    write_aggregated(outs, libraries)
    return outs, libraries


@pytest.fixture
def aggr(written, tmp_path):
    shutil.copytree(written[0], tmp_path / "run" / "outs")
    return tmp_path / "run" / "outs", written[1]


def check(outs, libraries):
    for number, (name, raw) in enumerate(libraries.items(), start=1):
        sample = read(outs, region=name)
        np.testing.assert_array_equal(sample.adata.X.toarray(), raw.counts)
        assert list(sample.adata.obs_names) == renumber(raw.positions.index, number)
        np.testing.assert_allclose(sample.adata.obsm["spatial"], raw.positions[COLUMNS[:3:-1]])
        assert sample.mpp == pytest.approx(raw.mpp, rel=1e-6)
        assert list(sample.adata.uns["spatial"]) == [name]
        assert sample.image_path.parent.name == name
        assert any("aggregated run" in note for note in sample.warnings)


def test_the_names_are_listed_and_one_line_says_what_it_is(aggr):
    outs, _ = aggr
    assert detect(outs).platform == "visium"
    for path in (outs, outs.parent, outs / H5):
        with pytest.raises(UsageError, match=r"output of spaceranger aggr, with 2 libraries \(tumour, healthy\)"):
            read(path)
    problem = describe(outs)["problems"][0]
    assert problem["exit_code"] == 2 and "--region" in problem["hint"]
    with pytest.raises(UsageError, match="no library 'liver'"):
        read(outs, region="liver")


def test_each_library_has_its_own_counts_and_positions(aggr):
    check(*aggr)


@pytest.mark.parametrize("numbered", [True, False])
def test_without_the_joint_table(aggr, numbered):
    outs, libraries = aggr
    (outs / "aggr_tissue_positions.csv").unlink()
    if numbered:  # positions of the libraries may end in -1 or in the library's number
        for number, name in enumerate(libraries, start=1):
            path = outs / "spatial" / name / "tissue_positions.csv"
            table = pd.read_csv(path)
            table.assign(barcode=renumber(table["barcode"], number)).to_csv(path, index=False)
    check(outs, libraries)


def test_without_the_sheet_the_joint_table_says_whose_barcodes_are_whose(aggr):
    (aggr[0] / "aggregation.csv").unlink()
    check(*aggr)


def test_no_guess_is_made_of_whose_barcodes_are_whose(aggr):
    outs, _ = aggr
    (outs / "aggregation.csv").unlink()
    (outs / "aggr_tissue_positions.csv").unlink()
    with pytest.raises(BadInputError, match="nothing states which barcodes are of library 'tumour'"):
        read(outs, region="tumour")


def test_tables_that_contradict_each_other_are_refused(aggr):
    outs, _ = aggr
    sheet = pd.read_csv(outs / "aggregation.csv")
    sheet[::-1].to_csv(outs / "aggregation.csv", index=False)
    with pytest.raises(BadInputError, match="end in -1 in aggr_tissue_positions"):
        read(outs, region="tumour")


def test_a_matrix_of_several_libraries_on_the_positions_of_one(aggr, tmp_path):
    outs, libraries = aggr
    raw = libraries["tumour"]
    shutil.copytree(raw.path, tmp_path / "S")
    shutil.copy(outs / H5, tmp_path / "S" / H5)
    with pytest.raises(BadInputError) as refusal:
        read(tmp_path / "S")
    assert "joins several samples" in refusal.value.hint and "-2" in refusal.value.hint


def test_libraries_of_unlike_size_on_the_positions_of_the_larger(written, tmp_path):
    """More than half of the barcodes have a position then; still the rest is not dropped in silence."""
    raw = written[1]["tumour"]
    shutil.copytree(raw.path, tmp_path / "S")
    n = len(raw.positions)
    names = [*raw.positions.index, *renumber(raw.positions.index[: n // 3], 2)]
    counts = np.vstack([raw.counts, raw.counts[: n // 3]])
    write_matrix_h5(tmp_path / "S" / H5, counts, names, raw.gene_ids, raw.symbols)
    with pytest.raises(BadInputError, match="have no position"):
        read(tmp_path / "S")


def test_scale_factors_are_the_library_s(aggr):
    outs, libraries = aggr
    for name, raw in libraries.items():
        entry = read(outs, region=name).adata.uns["spatial"][name]
        factors = json.loads((outs / "spatial" / name / "scalefactors_json.json").read_text())
        assert entry["scalefactors"]["spot_diameter_fullres"] == factors["spot_diameter_fullres"] == 65 / raw.mpp

"""MERFISH-style tables: one table or two, several sections in one file, what is refused."""

import shutil
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from recorded import MPP, check_round_trip, record

from focus_cli.core.errors import BadInputError, FocusError, UsageError
from focus_cli.platforms import detect, read

RNG = np.random.default_rng(2)
COUNTS = RNG.poisson(2.0, (40, 4))
XY = RNG.uniform(-300, 300, (40, 2)).round(3)
GENES = ["Actb", "Gad1", "Fos", "Blank-1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return record(tmp_path_factory, "merfish")


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made.raw, tmp_path / "raw", ignore=shutil.ignore_patterns("*.tif"))


def whole(folder, name="merfish_all_cells.csv", bregma=(0.26,), animals=(1,), **more):
    table = pd.DataFrame({"Cell_ID": [f"c{i}" for i in range(40)]})
    table["Animal_ID"] = np.resize(animals, 40)
    table["Bregma"] = np.repeat(np.resize(bregma, len(bregma)), 40 // len(bregma))
    table["Centroid_X"], table["Centroid_Y"] = XY.T
    table["Cell_class"], table["Neuron_cluster_ID"] = "Astrocyte", None
    for name_, values in zip(GENES, COUNTS.T):
        table[name_] = values
    table.assign(**more).to_csv(folder / name, index=False)
    return folder / name


def pair(folder, counts="cell_by_gene.csv", cells="cell_metadata.csv"):
    ids = [f"10{i}" for i in range(40)]
    pd.DataFrame(COUNTS, columns=GENES, index=pd.Index(ids, name="cell")).to_csv(folder / counts)
    meta = pd.DataFrame({"fov": 1, "volume": 500.0, "center_x": XY[:, 0], "center_y": XY[:, 1]}, index=ids)
    meta.iloc[::-1].to_csv(folder / cells)


def test_round_trip(made):
    assert detect(made.raw).platform == "merfish"
    sample = read(made.raw, mpp=MPP)
    check_round_trip(sample, made.section, um=1e-4)
    assert any("2 Blank" in w for w in sample.warnings)
    assert sample.image_path.name == "S1_HE.tif"


def test_one_table(tmp_path):
    path = whole(tmp_path)
    for given in (path, tmp_path):
        assert detect(given).platform == "merfish"
        sample = read(given)
        np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS[:, :3])
        np.testing.assert_allclose(sample.adata.obsm["spatial_um"], XY)
        assert sample.mpp == 1.0


def test_two_tables_are_joined_by_cell(tmp_path):
    pair(tmp_path)
    assert detect(tmp_path).evidence == ("cell_by_gene.csv", "cell_metadata.csv")
    sample = read(tmp_path)
    assert list(sample.adata.obs_names[:2]) == ["100", "101"]
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS[:, :3])
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], XY)


def test_one_section_of_several(tmp_path):
    path = whole(tmp_path, bregma=(-0.24, 0.26), animals=(1, 2))
    with pytest.raises(UsageError, match=r"4 regions \(Animal_ID=1,Bregma=-0.24, "):
        read(path)
    sample = read(path, region="Animal_ID=2,Bregma=0.26")
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS[21::2, :3])
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], XY[21::2])
    one = whole(tmp_path, "one.csv", bregma=(-0.24, 0.26))
    assert read(one, region="0.26").adata.n_obs == 20
    with pytest.raises(UsageError, match="no region"):
        read(one, region="0.27")


def test_a_gene_that_a_section_lacks_is_left_out(tmp_path):
    missing = np.where(np.arange(40) < 20, np.nan, COUNTS[:, 2])
    path = whole(tmp_path, bregma=(-0.24, 0.26), Fos=missing)
    sample = read(path, region="-0.24")
    assert list(sample.adata.var_names) == ["Actb", "Gad1"]
    assert any("1 genes have no value" in w for w in sample.warnings)
    assert list(read(path, region="0.26").adata.var_names) == GENES[:3]
    with pytest.raises(BadInputError, match="'Fos' are missing"):
        read(whole(tmp_path, "b.csv", Fos=missing))


def test_counts_over_volume_are_refused(tmp_path):
    with pytest.raises(BadInputError, match="normalised"):
        read(whole(tmp_path, Actb=COUNTS[:, 0] / 3.7))


def test_marker_intensities_are_sent_through_the_anndata_door(tmp_path):
    table = pd.DataFrame({"CellID": range(40), "DNA": 5.5, "CD3": 2.5, "X_centroid": XY[:, 0], "Y_centroid": XY[:, 1]})
    table.to_csv(tmp_path / "unmicst_cells.csv", index=False)
    with pytest.raises(BadInputError, match="marker intensities") as refusal:
        read(tmp_path / "unmicst_cells.csv", "merfish")
    assert "feature_types" in refusal.value.hint


def test_positions_in_another_unit_are_noticed(tmp_path):
    assert any(
        "are they?" in w for w in read(whole(tmp_path, Centroid_X=XY[:, 0] / 1e3, Centroid_Y=XY[:, 1] / 1e3)).warnings
    )


@pytest.mark.parametrize(
    "change",
    [
        {"Centroid_X": "west"},
        {"Centroid_X": np.nan},
        {"Centroid_Y": 1e300},
        {"Cell_ID": "same"},
        {"Actb": -1},
        {"Actb": 1e30},
        {"Actb": 0, "Gad1": 0, "Fos": 0},
    ],
)
def test_bad_tables_are_refused(tmp_path, change):
    path = whole(tmp_path, **change)
    with pytest.raises(BadInputError):
        read(path)


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x01\x02" * 100, b"x,y\n", b"x,y,Actb\n1,2\n", "x,y,é\n1,2,3".encode("latin1")]
)
def test_garbage_is_refused(tmp_path, data):
    (tmp_path / "merfish.csv").write_bytes(data)
    with pytest.raises(FocusError):
        read(tmp_path / "merfish.csv", "merfish")


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_cut_tables_end_in_a_refusal_or_are_shorter(copy, share):
    path = next(copy.glob("*.csv"))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with suppress(FocusError):
        assert read(copy).adata.n_obs < 0.95 * data.count(b"\n")

"""STARmap: the Single Cell Portal's layout and the first software's; depth, wells, what is refused."""

import shutil

import numpy as np
import pandas as pd
import pytest
from recorded import MPP, check_round_trip, record

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read

RNG = np.random.default_rng(3)
COUNTS = RNG.poisson(3.0, (4, 3))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return record(tmp_path_factory, "starmap")


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made.raw, tmp_path / "raw", ignore=shutil.ignore_patterns("*.tif"))


def test_round_trip(made):
    found = detect(made.raw)
    assert (found.platform, found.version) == ("starmap", "STARmap PLUS")
    sample = read(made.raw, mpp=MPP)
    check_round_trip(sample, made.section, prefix="S1_", um=2e-4)
    assert any("z from 0 to 30" in w for w in sample.warnings)


def test_the_voxel_is_said(made):
    sample = read(made.raw)
    assert sample.mpp == 0.194
    assert any("taken as 0.194" in w for w in sample.warnings)


def test_gzipped_and_shuffled_cells(made, copy):
    path = next(copy.glob("*_spatial.csv"))
    head, types, *rows = path.read_text().splitlines()
    (copy / "S1_spatial.csv.gz").write_bytes(
        __import__("gzip").compress("\n".join([head, types, *rows[::-1]]).encode())
    )
    path.unlink()
    check_round_trip(read(copy, mpp=MPP), made.section, prefix="S1_", um=2e-4)


def test_one_of_several_wells(copy):
    for path in list(copy.glob("S1*")):
        shutil.copy(path, copy / path.name.replace("S1", "well2_5", 1))
    with pytest.raises(UsageError, match=r"2 regions \(S1, well2_5\)"):
        read(copy)
    assert read(copy, region="well2_5").inputs["matrix"].name == "well2_5raw_expression_pd.csv"


def test_normalised_counts_alone_are_refused(copy):
    path = next(copy.glob("*raw_expression*"))
    path.rename(copy / "S1processed_expression_pd.csv")
    with pytest.raises(MissingResourceError, match="normalised"):
        read(copy)


def test_missing_positions_are_named(copy):
    next(copy.glob("*_spatial.csv")).unlink()
    assert "spatial.csv is missing" in detect(copy).problems[0]
    with pytest.raises(MissingResourceError, match=r"spatial.csv is missing"):
        read(copy)


def write_first(folder, labels=True):
    np.savetxt(folder / "cell_barcode_count.csv", COUNTS, delimiter=",", fmt="%d")
    (folder / "cell_barcode_names.csv").write_text("0,1234,Slc17a7\n1,4321,Gad1\n2,1111,Plp1\n")
    picture = np.zeros((200, 300), dtype=np.int32)
    corners = [(10, 20), (10, 120), (100, 30), (100, 200)]
    for number, (row, column) in enumerate(corners, start=1):
        picture[row : row + 40, column : column + 50] = number
    picture[190:195, 290:295] = 5  # too small to be a cell
    picture[180:182, :] = 6
    centres = np.array([(column + 24.5, row + 19.5) for row, column in corners])
    if labels:
        np.savez_compressed(folder / "labels.npz", labels=picture)
    else:
        table = pd.DataFrame(centres, columns=["x", "y"]).assign(area=2000, seg_label=range(1, 5))
        table.to_csv(folder / "meta.csv")
    return centres


@pytest.mark.parametrize("labels", [True, False])
def test_first_software(tmp_path, labels):
    centres = write_first(tmp_path, labels)
    assert detect(tmp_path).platform == "starmap"
    with pytest.raises(MissingResourceError, match="µm per pixel is unknown"):
        read(tmp_path)
    sample = read(tmp_path, mpp=0.1)
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)
    assert list(sample.adata.var_names) == ["Slc17a7", "Gad1", "Plp1"]
    np.testing.assert_allclose(sample.adata.obsm["spatial"], centres)
    assert sample.footprint.size_um == pytest.approx(2 * np.sqrt(2000 / np.pi) * 0.1, abs=1e-3)


def object_labels(path):
    np.savez(path, labels=np.array([[{}]], dtype=object))


def wild_labels(path):
    np.savez(path, labels=np.full((50, 50), 2**60))


@pytest.mark.parametrize(
    "change",
    [
        object_labels,
        wild_labels,
        lambda path: np.savez(path, labels=np.ones(5)),
        lambda path: np.savez(path, other=np.ones((5, 5))),
        lambda path: path.write_bytes(path.read_bytes()[:300]),
        lambda path: path.write_bytes(b"not a zip"),
        lambda path: np.savez(path, labels=np.ones((50, 50), int)),
    ],
)
def test_damaged_segmentations_are_refused(tmp_path, change):
    write_first(tmp_path)
    change(tmp_path / "labels.npz")
    with pytest.raises(BadInputError):
        read(tmp_path, mpp=0.1)


def edit(old, new, pattern="*_spatial.csv", count=1):
    def change(folder):
        path = next(folder.glob(pattern))
        path.write_text(path.read_text().replace(old, new, count))

    return change


def repeat_cell(folder):
    path = next(folder.glob("*_spatial.csv"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[-1]]))


@pytest.mark.parametrize(
    "change",
    [
        edit("NAME", "CELL"),
        edit("S1_", "other_", count=-1),
        edit("S1_1,", "S1_1,word"),
        repeat_cell,
        edit(",1,", ",-1,", "*raw_expression*"),
        edit(",1,", ",0.5,", "*raw_expression*"),
        edit(",1,", ",one,", "*raw_expression*"),
    ],
)
def test_bad_tables_are_refused(copy, change):
    change(copy)
    with pytest.raises(BadInputError):
        read(copy, mpp=MPP)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
@pytest.mark.parametrize("pattern", ["*raw_expression*", "*_spatial.csv"])
def test_cut_files_end_in_a_refusal_or_a_warning(copy, made, pattern, share):
    path = next(copy.glob(pattern))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    try:
        sample = read(copy, mpp=MPP)
        fewer = sample.adata.n_vars < len(made.section.symbols)
        assert fewer or any("have no position" in w for w in sample.warnings)
    except FocusError:
        pass

"""osmFISH: a simulated loom comes back to the molecule; the real one agrees with h5py; damage is refused."""

import shutil

import h5py
import numpy as np
import pytest
from recorded import check_round_trip, record

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return record(tmp_path_factory, "osmfish")


@pytest.fixture
def loom(made, tmp_path):
    return shutil.copy(next(made.raw.glob("*.loom")), tmp_path / "a.loom")


def test_round_trip(made):
    assert detect(made.raw).platform == "osmfish"
    sample = read(made.raw)
    check_round_trip(sample, made.section, ids=True)
    assert sample.mpp == pytest.approx(2.0, rel=1e-6)
    assert sample.platform.technology == "imaging"
    assert sample.footprint.size_um == pytest.approx(made.section.locations.size_um, abs=1e-3)
    assert sample.image_path.name == "S1_HE.tif"


def test_cells_that_are_not_valid_are_left_out(loom):
    with h5py.File(loom, "r+") as file:
        file["col_attrs/Valid"][:10] = 0
        file["col_attrs/X"][:10] = np.nan
        names = file["col_attrs/CellID"][:].astype(str)
    sample = read(loom)
    assert list(sample.adata.obs_names) == list(names[10:])
    assert any("10 of" in w and "not valid" in w for w in sample.warnings)


def test_scale_is_needed_where_the_areas_do_not_tell(loom):
    with h5py.File(loom, "r+") as file:
        del file["col_attrs/size_pix"]
    with pytest.raises(MissingResourceError, match="µm per pixel is unknown"):
        read(loom)
    assert read(loom, mpp=0.065).mpp == 0.065


def test_several_files_are_not_guessed_from(loom, tmp_path):
    shutil.copy(loom, tmp_path / "b.loom")
    with pytest.raises(UsageError, match="several loom files"):
        read(tmp_path)


def drop(name):
    def change(file):
        del file[name]

    return change


def put(name, values):
    def change(file):
        old = file[name][:]
        del file[name]
        file[name] = values(old)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("matrix"), "matrix is missing"),
        (drop("col_attrs/X"), "col_attrs/X is missing"),
        (put("col_attrs/Y", lambda v: v[:-1]), "does not fit"),
        (put("col_attrs/Y", lambda v: v.astype("S")), "not numeric"),
        (put("col_attrs/Y", lambda v: v * np.nan), "NaN"),
        (put("col_attrs/Y", lambda v: v * 1e200), "no pixel"),
        (put("col_attrs/CellID", lambda v: np.full_like(v, b"1")), "duplicate"),
        (put("row_attrs/Gene", lambda v: np.full_like(v, b"A")), "duplicate|gene"),
        (put("matrix", lambda v: -v), "negative"),
        (put("matrix", lambda v: v * 0.3), "not whole|log-normalised"),
        (put("matrix", lambda v: v.astype("S")), "not a table of numbers"),
        (put("matrix", lambda v: v * 10**9), "not a valid count"),
        (put("col_attrs/Valid", lambda v: v * 0), "no cell is valid"),
    ],
)
def test_damaged_files_are_refused(loom, change, message):
    with h5py.File(loom, "r+") as file:
        if "Gene" in message or "gene" in message:
            del file["row_attrs/Accession"]
        change(file)
    with pytest.raises(BadInputError, match=message):
        read(loom)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
def test_truncated_files_are_refused(loom, share):
    data = loom.read_bytes()
    loom.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadInputError, match="truncated or damaged"):
        read(loom)


@pytest.mark.realdata
def test_real_cortex(focus_data):
    """Codeluppi et al. 2018 against h5py alone."""
    path = focus_data / "native" / "osmfish"
    sample = read(path)
    adata = sample.adata
    with h5py.File(path / "osmFISH_SScortex_mouse_all_cells.loom") as file:
        column = {name: node[:] for name, node in file["col_attrs"].items()}
        genes, matrix = file["row_attrs/Gene"][:].astype(str), file["matrix"][:]
    kept = column["Valid"] == 1
    assert adata.shape == (4839, 33)
    assert list(adata.var_names) == list(genes)
    assert list(adata.obs_names) == list(column["CellID"][kept].astype(str))
    np.testing.assert_array_equal(adata.X.toarray(), matrix.T[kept])
    np.testing.assert_array_equal(adata.X.sum(axis=1).A1, column["Total_molecules"][kept])
    np.testing.assert_array_equal(adata.obsm["spatial"], np.column_stack([column["X"], column["Y"]])[kept])
    assert sample.mpp == pytest.approx(0.065, rel=1e-9)  # as the paper says
    assert list(adata.obs["region"]) == list(column["Region"][kept].astype(str))
    # Cortex has some 1,500 cells per mm² of section: the unit of the positions is right.
    area = np.prod(np.ptp(adata.obsm["spatial_um"], axis=0)) / 1e6
    assert 500 < adata.n_obs / area < 3000

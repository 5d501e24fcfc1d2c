"""seqFISH: regions in µm and in pixels, fields of seqFISH+, what is refused."""

import shutil
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import tifffile
from recorded import MPP, check_round_trip, record

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read

RNG = np.random.default_rng(1)
COUNTS = RNG.poisson(2.0, (30, 5))
XY = RNG.uniform(10, 200, (30, 2)).round(3)
GENES = ["Actb", "Gapdh", "Plp1", "Gad2", "Blank1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return record(tmp_path_factory, "seqfish")


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made.raw, tmp_path / "raw", ignore=shutil.ignore_patterns("*.tif"))


def write_roi(folder, counts_name="Roi1_CellxGene.csv", cells_name="Roi1_CellCoordinates.csv", shuffle=False):
    labels = np.arange(1, 31)
    pd.DataFrame(COUNTS, index=labels, columns=GENES).to_csv(folder / counts_name)
    cells = pd.DataFrame({"label": labels, "area": 50.0, "center_x": XY[:, 0], "center_y": XY[:, 1]})
    (cells.sample(frac=1, random_state=0) if shuffle else cells).to_csv(folder / cells_name, index=False)


def write_plus(folder, fields=2):
    pd.DataFrame(COUNTS, columns=GENES).to_csv(folder / "cortex_svz_counts.csv", index=False)
    cells = pd.DataFrame({"Field of View": np.arange(30) % fields, "Cell ID": np.arange(30) // fields + 1})
    cells["X"], cells["Y"], cells["Region"] = XY[:, 0], XY[:, 1], "Cortex"
    cells.to_csv(folder / "cortex_svz_cellcentroids.csv", index=False)


def test_round_trip(made):
    assert detect(made.raw).platform == "seqfish"
    sample = read(made.raw, mpp=MPP)
    check_round_trip(sample, made.section, um=1e-4)
    assert sample.footprint.size_um == pytest.approx(made.section.locations.size_um, abs=1e-3)
    assert sample.image_path.name == "S1_HE.tif"
    plain = read(made.raw)
    assert plain.mpp == 1.0  # positions are in µm: without an image's pixel, a pixel is a µm
    np.testing.assert_allclose(plain.adata.obsm["spatial_um"], sample.adata.obsm["spatial_um"])


def test_coordinates_are_joined_by_label_and_controls_left_out(tmp_path):
    write_roi(tmp_path, shuffle=True)
    sample = read(tmp_path)
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], XY)
    assert list(sample.adata.var_names) == GENES[:4]
    assert any("1 Blank" in w for w in sample.warnings)


def test_dapi_gives_the_pixel_and_is_never_the_histology(tmp_path):
    write_roi(tmp_path)
    metadata = {"axes": "YX", "PhysicalSizeX": 0.107, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.107}
    tifffile.imwrite(tmp_path / "Roi1_DAPI.ome.tiff", np.zeros((64, 64), np.uint16), metadata=metadata)
    sample = read(tmp_path)
    assert sample.mpp == pytest.approx(0.107)
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], XY)
    assert sample.image_path is None
    (tmp_path / "Roi1_DAPI.ome.tiff").write_bytes(b"II*\0 broken")
    assert read(tmp_path).mpp == 1.0


def test_earlier_software_writes_pixels(tmp_path):
    write_roi(tmp_path, "Test_CellxGene_section1.csv", "Test_CellCoordinates_section1.csv")
    with pytest.raises(MissingResourceError, match="µm per pixel is unknown"):
        read(tmp_path)
    sample = read(tmp_path, mpp=0.2)
    np.testing.assert_allclose(sample.adata.obsm["spatial"], XY)
    np.testing.assert_allclose(sample.adata.obs["area_um2"], 50 * 0.2**2)


def test_one_of_several_regions_is_chosen(tmp_path):
    write_roi(tmp_path)
    write_roi(tmp_path, "Roi2_CellxGene.csv", "Roi2_CellCoordinates.csv")
    with pytest.raises(UsageError, match=r"2 regions \(Roi1, Roi2\)"):
        read(tmp_path)
    with pytest.raises(UsageError, match="no region 'Roi3'"):
        read(tmp_path, region="Roi3")
    assert read(tmp_path, region="Roi2").inputs["matrix"].name == "Roi2_CellxGene.csv"
    assert read(tmp_path / "Roi1_CellxGene.csv").inputs["matrix"].name == "Roi1_CellxGene.csv"


def test_fields_of_seqfish_plus(tmp_path):
    write_plus(tmp_path)
    assert detect(tmp_path).version == "seqFISH+ tables"
    with pytest.raises(UsageError, match="2 regions"):
        read(tmp_path)
    sample = read(tmp_path, region="1")
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS[1::2, :4])
    np.testing.assert_allclose(sample.adata.obsm["spatial"], XY[1::2])
    assert sample.mpp == 0.103
    assert list(sample.adata.obs_names[:2]) == ["1", "2"]


@pytest.mark.parametrize("missing", ["CellxGene", "CellCoordinates"])
def test_a_missing_table_is_named(copy, missing):
    next(copy.glob(f"*{missing}*")).unlink()
    assert missing in detect(copy).problems[0]
    with pytest.raises(MissingResourceError, match=missing):
        read(copy)


def swap_names(folder):
    a, b = next(folder.glob("*CellxGene*")), next(folder.glob("*CellCoord*"))
    text = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(text)


def edit(pattern, **columns):
    def change(folder):
        path = next(folder.glob(pattern))
        table = pd.read_csv(path)
        for name, value in columns.items():
            table[name] = value
        table.to_csv(path, index=False)

    return change


@pytest.mark.parametrize(
    "change",
    [
        swap_names,
        edit("*CellCoord*", center_x="left"),
        edit("*CellCoord*", center_x=float("nan")),
        edit("*CellCoord*", center_y=1e300),
        edit("*CellCoord*", label=1),
        edit("*CellCoord*", label="x"),
        edit("*CellxGene*", Extra="word"),
        edit("*CellxGene*", Extra=-1),
        edit("*CellxGene*", Extra=0.5),
    ],
)
def test_bad_tables_are_refused(copy, change):
    change(copy)
    with pytest.raises(BadInputError):
        read(copy)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("pattern", ["*CellxGene*", "*CellCoord*"])
def test_cut_files_end_in_a_refusal_or_a_warning(copy, pattern, share):
    path = next(copy.glob(pattern))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with suppress(FocusError):
        assert read(copy).warnings

"""SpatialData: tables, regions, transforms, what stands for µm, and what is refused."""

import json
import shutil
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
from recorded import check_round_trip, record
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read

sd = pytest.importorskip("spatialdata")
pytestmark = pytest.mark.filterwarnings("ignore")

RNG = np.random.default_rng(4)
COUNTS = RNG.poisson(2.0, (36, 5)).astype(np.float32)
XY = np.stack(np.meshgrid(np.arange(6), np.arange(6)), axis=-1).reshape(-1, 2) * 12.0 + 40
GENES = [f"Gene{j}" for j in range(5)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return record(tmp_path_factory, "spatialdata")


def table_of(region, ids, **obs):
    table = anndata.AnnData(sparse.csr_matrix(COUNTS), var=pd.DataFrame(index=GENES))
    table.obs_names = [f"cell-{i}" for i in ids]
    table.obs["region"] = pd.Categorical(np.resize(region, 36))
    table.obs["instance"] = ids
    for name, values in obs.items():
        table.obs[name] = values
    names = sorted(set(np.resize(region, 36)))
    return sd.models.TableModel.parse(table, region=names, region_key="region", instance_key="instance")


def circles(transformations, ids=None, radius=5.0):
    index = pd.Index(range(36) if ids is None else ids)
    return sd.models.ShapesModel.parse(XY, geometry=0, radius=radius, index=index, transformations=transformations)


def squares(transformations):
    from geopandas import GeoDataFrame
    from shapely import box

    frame = GeoDataFrame({"geometry": [box(x - 4, y - 4, x + 4, y + 4) for x, y in XY]})
    return sd.models.ShapesModel.parse(frame, transformations=transformations)


def write(path, shapes, tables, **more):
    sd.SpatialData(shapes=shapes, tables=tables, **more).write(path)
    return path


def scale(factor):
    return sd.transformations.Scale([factor, factor], axes=("x", "y"))


def test_round_trip(made):
    assert detect(made.raw).platform == "spatialdata"
    sample = read(made.raw)
    check_round_trip(sample, made.section, ids=True)
    assert sample.mpp == pytest.approx(2.0)  # the circles' areas are those that the table states in µm²
    assert sample.footprint.size_um == pytest.approx(made.section.locations.size_um)
    given = next(made.raw.glob("*_HE.tif"))
    assert read(made.raw, image=given).image_path == given


@pytest.mark.parametrize("shape", [circles, squares])
def test_chained_transforms_to_global_and_microns(tmp_path, shape):
    turn = sd.transformations.Affine([[0, -2, 300], [2, 0, 10], [0, 0, 1]], ("x", "y"), ("x", "y"))
    shift = sd.transformations.Translation([7, 9], axes=("x", "y"))
    way = sd.transformations.Sequence([shift, turn])
    element = shape({"global": way, "microns": scale(0.5)})
    path = write(tmp_path / "a.zarr", {"cells": element}, {"table": table_of("cells", range(36))})
    sample = read(path)
    moved = XY + np.array([7, 9])
    np.testing.assert_allclose(sample.adata.obsm["spatial"], np.c_[300 - 2 * moved[:, 1], 10 + 2 * moved[:, 0]])
    assert sample.mpp == pytest.approx(0.25)
    size = 10 if shape is circles else 2 * 8 / np.sqrt(np.pi)
    assert sample.footprint.size_um == pytest.approx(0.5 * size, abs=1e-3)
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)


def test_instances_are_joined_and_not_counted_off(tmp_path):
    element = circles({"global": scale(1)}, ids=range(35, -1, -1))
    path = write(tmp_path / "a.zarr", {"cells": element}, {"table": table_of("cells", range(36))})
    np.testing.assert_allclose(read(path, mpp=1.0).adata.obsm["spatial"], XY[::-1])


def test_labels_give_centres(tmp_path):
    picture = np.zeros((130, 130), dtype=np.int32)
    for i, (x, y) in enumerate(XY.astype(int)):
        picture[y - 3 : y + 3, x - 3 : x + 3] = i + 1
    labels = sd.models.Labels2DModel.parse(picture, dims=("y", "x"), transformations={"global": scale(2)})
    path = tmp_path / "a.zarr"
    write(path, {}, {"table": table_of("nuclei", range(1, 37))}, labels={"nuclei": labels})
    np.testing.assert_allclose(read(path, mpp=0.5).adata.obsm["spatial"], 2 * XY)


def test_visium_gives_its_own_scale(tmp_path):
    row, half = np.divmod(np.arange(36), 6)
    col = 2 * half + row % 2
    px = np.stack([col * 50, row * 50 * np.sqrt(3)], axis=1) / 0.5 + 100
    element = sd.models.ShapesModel.parse(
        px, geometry=0, radius=55.0, transformations={"S": scale(1), "S_downscaled_hires": scale(0.1)}
    )
    table = table_of("spots", range(36), array_row=row, array_col=col, in_tissue=np.arange(36) % 2)
    sample = read(write(tmp_path / "a.zarr", {"spots": element}, {"table": table}))
    assert sample.mpp == pytest.approx(0.5)
    assert sample.footprint.pitch_um == 100.0
    assert sample.platform.technology == "sequencing"
    np.testing.assert_allclose(sample.adata.obsm["spatial"], px)  # the full-resolution system, not a reduced one
    assert list(sample.adata.obs["in_tissue"][:2]) == [0, 1]


def test_bins_give_their_own_scale(tmp_path):
    row, col = np.divmod(np.arange(36), 6)
    px = np.stack([col, row], axis=1) * 16 / 0.4
    element = sd.models.ShapesModel.parse(px, geometry=0, radius=1.0, transformations={"global": scale(1)})
    table = table_of("bins", range(36), array_row=row, array_col=col)
    sample = read(write(tmp_path / "a.zarr", {"bins": element}, {"square_016um": table}))
    assert sample.mpp == pytest.approx(0.4)
    assert (sample.footprint.shape, sample.footprint.size_um) == ("square", 16.0)


def test_unknown_scale_is_refused_and_centres_in_um_tell_it(tmp_path):
    element = circles({"global": scale(4)})
    path = write(tmp_path / "a.zarr", {"cells": element}, {"table": table_of("cells", range(36))})
    with pytest.raises(MissingResourceError, match="µm per pixel is unknown"):
        read(path)
    said = table_of("cells", range(36), center_x=XY[:, 0], center_y=XY[:, 1])
    path = write(tmp_path / "b.zarr", {"cells": element}, {"table": said})
    assert read(path).mpp == pytest.approx(0.25)


def test_one_table_and_one_region_are_chosen(tmp_path):
    shapes = {"left": circles({"global": scale(1)}), "right": circles({"global": scale(2)})}
    table = table_of(["left", "right"], range(36))
    path = write(tmp_path / "a.zarr", shapes, {"rna": table, "other": table.copy()})
    with pytest.raises(UsageError, match=r"2 tables \(other, rna\)"):
        read(path, mpp=1.0)
    with pytest.raises(UsageError, match=r"2 regions \(left, right\)"):
        read(path, mpp=1.0, table="rna")
    sample = read(path, mpp=1.0, table="rna", region="right")
    np.testing.assert_allclose(sample.adata.obsm["spatial"], 2 * XY[1::2])
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS[1::2])


def test_table_without_element_keeps_its_own_positions(tmp_path):
    table = anndata.AnnData(COUNTS, var=pd.DataFrame(index=GENES), obsm={"spatial": XY})
    path = write(tmp_path / "a.zarr", {}, {"table": table})
    sample = read(path, mpp=1.0)
    np.testing.assert_allclose(sample.adata.obsm["spatial"], XY)
    assert any("obsm['spatial'] is used" in w for w in sample.warnings)


def test_pictures_of_the_store_are_not_taken(tmp_path):
    image = sd.models.Image2DModel.parse(np.zeros((3, 20, 20), np.uint8), dims=("c", "y", "x"))
    path = tmp_path / "a.zarr"
    write(path, {"cells": circles({"global": scale(1)})}, {"t": table_of("cells", range(36))}, images={"he": image})
    sample = read(path, mpp=1.0)
    assert sample.image_path is None
    assert any("(he) are not used" in w and "--image" in w for w in sample.warnings)


@pytest.fixture
def store(tmp_path):
    element = circles({"global": scale(1)})
    return write(tmp_path / "a.zarr", {"cells": element}, {"table": table_of("cells", range(36))})


def cut(pattern, share=0.5):
    def change(store):
        path = max((p for p in store.glob(pattern) if p.is_file()), key=lambda p: p.stat().st_size)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return change


def pickled(store):
    path = next(store.glob("tables/table/obs/**/zarr.json"))
    described = json.loads(path.read_text()) | {"codecs": [{"name": "numcodecs.pickle"}]}
    path.write_text(json.dumps(described))


@pytest.mark.parametrize(
    "change",
    [
        cut("zarr.json"),
        cut("zarr.json", 0),
        cut("tables/table/zarr.json"),
        cut("tables/table/X/data/**/*", 0.3),
        cut("shapes/cells/zarr.json"),
        cut("shapes/cells/shapes.parquet"),
        lambda store: (store / "shapes/cells/shapes.parquet").unlink(),
        lambda store: shutil.rmtree(store / "tables/table/X"),
        lambda store: (store / "shapes/cells/shapes.parquet").write_bytes(b"PAR1 nothing"),
        pickled,
    ],
)
def test_damaged_stores_are_refused(store, change):
    change(store)
    with pytest.raises((BadInputError, MissingResourceError)):
        read(store, "spatialdata", mpp=1.0)


def test_row_without_shape_is_refused(tmp_path):
    element = circles({"global": scale(1)}, ids=range(1, 37))
    path = write(tmp_path / "a.zarr", {"cells": element}, {"table": table_of("cells", range(36))})
    with pytest.raises(BadInputError, match="1 of 36 rows"):
        read(path, mpp=1.0)


def test_missing_library_is_said(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(MissingResourceError, match="needs the library spatialdata") as refusal:
        read(store, mpp=1.0)
    assert "focus-st[spatialdata]" in refusal.value.hint

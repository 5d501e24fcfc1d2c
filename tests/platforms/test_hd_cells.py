"""Segmented cells of Space Ranger 4: their own counts at the centroids of their outlines, or a reason why not."""

import gzip
import json

import numpy as np
import pytest
from raw_folders import write_cells, write_matrix_folder, write_visium_hd

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import describe, detect, read
from focus_cli.platforms.formats.hd_cells import read_outlines

OUTLINES = "cell_segmentations.geojson"


@pytest.fixture
def cells(tmp_path):
    return write_cells(tmp_path / "outs")


def check(sample, raw):
    np.testing.assert_array_equal(sample.adata.X.toarray(), raw.counts)
    assert list(sample.adata.obs_names) == list(raw.positions.index)
    np.testing.assert_allclose(sample.adata.obsm["spatial"], raw.positions, rtol=1e-9)
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], raw.positions * raw.mpp, rtol=1e-9)
    assert list(sample.adata.var["gene_ids"]) == raw.gene_ids


def test_counts_and_centroids(cells):
    raw, area = cells
    folder = raw.path / "segmented_outputs"
    for path in (raw.path, folder, folder / "filtered_feature_cell_matrix.h5", folder / OUTLINES):
        assert detect(path).platform == "visium_hd"
        check(read(path), raw)
    sample = read(raw.path)
    assert sample.platform.version == "4.0.1" and (sample.adata.obs["in_tissue"] == 1).all()
    width = 2 * np.sqrt(np.median(area) * raw.mpp**2 / np.pi)
    assert (sample.footprint.shape, sample.footprint.size_um) == ("circle", pytest.approx(width, abs=1e-3))
    assert any("centroid" in note for note in sample.warnings)


def test_forms_of_the_files(cells):
    raw, _ = cells
    folder = raw.path / "segmented_outputs"
    (folder / f"{OUTLINES}.gz").write_bytes(gzip.compress((folder / OUTLINES).read_bytes()))
    (folder / OUTLINES).unlink()
    (folder / "filtered_feature_cell_matrix.h5").unlink()
    matrix = folder / "filtered_feature_cell_matrix"
    write_matrix_folder(matrix, raw.counts, raw.positions.index, raw.gene_ids, raw.symbols, gz=True)
    check(read(raw.path), raw)


def test_beside_bins_the_bins_are_read_and_the_cells_are_mentioned(tmp_path):
    bins = write_visium_hd(tmp_path / "outs", sizes=(2, 8))
    raw, _ = write_cells(tmp_path / "outs")
    sample = read(bins.path)
    assert sample.footprint.shape == "square"
    assert any("segmented_outputs lies beside" in note for note in sample.warnings)
    assert "segmented_outputs" in " ".join(describe(bins.path)["evidence"])
    check(read(bins.path / "segmented_outputs"), raw)
    with pytest.raises(UsageError, match="cells, not bins"):
        read(bins.path / "segmented_outputs", bin_um=8)


def polygon(number, *rings):
    geometry = {"type": "Polygon", "coordinates": rings}
    return {"type": "Feature", "properties": {"cell_id": number}, "geometry": geometry}


SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[0, 0], [5, 0], [5, 10], [0, 10], [0, 0]]


def test_centroids_of_odd_outlines(tmp_path):
    far = [[x + 1e6, y + 2e6] for x, y in SQUARE]
    two = polygon("cellid_000000004-1")
    two["geometry"] = {"type": "MultiPolygon", "coordinates": [[SQUARE], [[[x + 20, y] for x, y in SQUARE]]]}
    line = [[0, 0], [4, 0], [0, 0]]
    features = [polygon(1, SQUARE[::-1]), polygon(2, SQUARE, HOLE), polygon(3, far), two, polygon(5, line)]
    path = tmp_path / OUTLINES
    path.write_text("\ufeff" + json.dumps({"crs": {"features": 1}, "features": features, "z": [1]}, indent=3))
    numbers, xy, area = read_outlines(path)
    assert list(numbers) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(xy, [[5, 5], [7.5, 5], [1e6 + 5, 2e6 + 5], [15, 5], [4 / 3, 0]])
    np.testing.assert_allclose(area, [100, 50, 100, 200, 0])


def test_outlines_longer_than_what_is_read_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("focus_cli.platforms.formats.hd_cells._READ_BYTES", 7)
    path = tmp_path / OUTLINES
    path.write_text(json.dumps({"features": [polygon(i, SQUARE) for i in range(5)]}))
    assert list(read_outlines(path)[0]) == list(range(5))


BAD = {
    "no JSON": "hello",
    "cut": json.dumps({"features": [polygon(1, SQUARE)]})[:-40],
    "no list": json.dumps({"features": {}}),
    "points": json.dumps(
        {"features": [{"properties": {"cell_id": 1}, "geometry": {"type": "Point", "coordinates": [1, 2]}}]}
    ),
    "no cell id": json.dumps({"features": [{"properties": {}, "geometry": None}]}),
    "words for numbers": json.dumps({"features": [polygon(1, [["a", "b"]])]}),
    "empty": json.dumps({"features": []}),
    "twice": json.dumps({"features": [polygon(1, SQUARE), polygon(1, SQUARE)]}),
    "deep": '{"features": [{"properties": ' + "[" * 100_000,
}


@pytest.mark.parametrize("case", BAD)
def test_outlines_that_are_none(cells, case):
    raw, _ = cells
    path = raw.path / "segmented_outputs" / OUTLINES
    path.write_text(BAD[case])
    with pytest.raises(BadInputError) as refusal:
        read(raw.path)
    assert OUTLINES in refusal.value.message and "\n" not in refusal.value.message and refusal.value.hint


def test_what_is_missing_is_named(cells):
    raw, _ = cells
    folder = raw.path / "segmented_outputs"
    (folder / "spatial" / "scalefactors_json.json").unlink()
    with pytest.raises(MissingResourceError, match="µm per pixel is unknown"):
        read(raw.path)
    assert read(raw.path, mpp=0.5).mpp == 0.5
    (folder / OUTLINES).unlink()
    with pytest.raises(MissingResourceError, match=r"cell_segmentations\.geojson is missing"):
        read(raw.path)
    assert describe(raw.path)["problems"][0]["exit_code"] == 4


def test_outlines_of_another_run(cells):
    raw, _ = cells
    path = raw.path / "segmented_outputs" / OUTLINES
    path.write_text(json.dumps({"features": [polygon(i, SQUARE) for i in range(900, 950)]}))
    with pytest.raises(BadInputError, match="outlines of 0 of"):
        read(raw.path)


def test_bins_in_a_folder_of_another_name_are_no_spots(tmp_path):
    """Taken out of `binned_outputs`, bins are still told from spots 100 µm apart."""
    raw = write_visium_hd(tmp_path / "outs", sizes=(8,), fine_um=8)
    folder = tmp_path / "taken_out"
    (raw.path / "binned_outputs" / "square_008um").rename(folder)
    sample = read(folder)
    assert (sample.platform.name, sample.footprint.size_um, sample.mpp) == ("visium_hd", 8, raw.mpp)
    np.testing.assert_array_equal(sample.adata.X.toarray(), raw.counts)
    with pytest.raises(BadInputError, match="bins of Visium HD") as refusal:
        read(folder, "visium")
    assert "--platform visium_hd" in refusal.value.hint


def test_bins_of_another_size_than_their_folder_says(tmp_path):
    raw = write_visium_hd(tmp_path / "outs", sizes=(8,), fine_um=8)
    (raw.path / "binned_outputs" / "square_008um").rename(raw.path / "binned_outputs" / "square_016um")
    with pytest.raises(BadInputError, match="bins of 8 µm"):
        read(raw.path)

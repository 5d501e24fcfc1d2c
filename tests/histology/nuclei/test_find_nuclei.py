"""Nuclei are found where they are, the same for windows of any size."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import cKDTree

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.histology.nuclei import COLUMNS, find_nuclei
from focus_cli.histology.nuclei.measure import measure
from focus_cli.histology.slides import open_slide

MPP = 0.5


def matched(found, truth, reach_um=4.0):
    """Precision, recall and F1 of centres, one to one within `reach_um`."""
    near = cKDTree(found).query_ball_tree(cKDTree(truth), reach_um)
    rows = np.repeat(np.arange(len(found)), [len(n) for n in near])
    columns = np.concatenate([np.array(n, int) for n in near])
    graph = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(found), len(truth)))
    hits = (maximum_bipartite_matching(graph, perm_type="column") >= 0).sum()
    return hits / len(found), hits / len(truth), 2 * hits / (len(found) + len(truth))


@pytest.fixture(scope="module")
def nuclei(section):
    with open_slide(section.path, MPP) as slide:
        return find_nuclei(slide)


def test_centres_lie_within_4_um_of_the_truth(nuclei, section):
    precision, recall, f1 = matched(nuclei[["x_um", "y_um"]].to_numpy(), section.xy_um)
    assert precision > 0.92
    assert recall > 0.86
    assert f1 > 0.90


def test_the_table(nuclei):
    assert tuple(nuclei.columns) == COLUMNS
    assert nuclei.index.name == "nucleus"
    assert (nuclei.dtypes == np.float64).all()
    assert nuclei.index.is_unique
    assert np.isfinite(nuclei.to_numpy()).all()
    assert nuclei["area_um2"].between(10, 250).all()
    assert nuclei["eccentricity"].between(0, 1).all()
    assert 25 < nuclei["area_um2"].median() < 80


@pytest.mark.parametrize("tile_um", [160.0, 251.0])
def test_the_size_of_the_windows_does_not_matter(nuclei, section, tile_um):
    with open_slide(section.path, MPP) as slide:
        pd.testing.assert_frame_equal(find_nuclei(slide, tile_um=tile_um), nuclei, check_exact=True)


def test_a_region_has_the_nuclei_of_the_whole(nuclei, section):
    with open_slide(section.path, MPP) as slide:
        part = find_nuclei(slide, region_um=(200, 250, 420, 400))
    inside = nuclei[nuclei["x_um"].between(203, 417) & nuclei["y_um"].between(253, 397)]
    found = {tuple(row) for row in part.to_numpy()}
    assert {tuple(row) for row in inside.to_numpy()} <= found
    assert len(part) < len(inside) * 1.2


def test_coarser_pixels_lose_little(section):
    with open_slide(section.path, MPP) as slide:
        coarse = find_nuclei(slide, mpp=1.0)
    assert matched(coarse[["x_um", "y_um"]].to_numpy(), section.xy_um)[2] > 0.88


def test_positions_are_in_um_of_the_slides_scale(nuclei, section):
    with open_slide(section.path, 2 * MPP) as slide:
        other = find_nuclei(slide, mpp=2 * MPP)
    assert other["x_um"].max() > 1.8 * nuclei["x_um"].max()


def test_measures_of_a_known_shape():
    labels = np.zeros((40, 60), np.int32)
    y, x = np.mgrid[:40, :60]
    labels[((x - 29.5) / 16) ** 2 + ((y - 19.5) / 8) ** 2 < 1] = 1
    found = measure(labels, np.full(labels.shape, 0.5, np.float32), np.array([[20, 25]]))
    assert found["dx"][0] + 25 == pytest.approx(30)
    assert found["dy"][0] + 20 == pytest.approx(20)
    assert found["area"][0] == pytest.approx(np.pi * 16 * 8, rel=0.02)
    assert found["eccentricity"][0] == pytest.approx(np.sqrt(1 - 0.25), abs=0.01)
    assert found["haematoxylin"][0] == pytest.approx(0.5)


def test_what_cannot_be_searched_is_refused(section, tmp_path):
    with open_slide(section.path) as slide, pytest.raises(MissingResourceError, match="scale"):
        find_nuclei(slide)
    with open_slide(section.path, 4.0) as slide, pytest.raises(BadInputError, match="distinguished"):
        find_nuclei(slide)
    with open_slide(section.path, MPP) as slide:
        with pytest.raises(UsageError, match="region"):
            find_nuclei(slide, region_um=(5000, 0, 6000, 100))
        with pytest.raises(UsageError, match="no method"):
            find_nuclei(slide, method="magic")
        with pytest.raises(UsageError):
            find_nuclei(slide, tile_um=1)
    blank = tmp_path / "glass.png"
    Image.fromarray(np.full((300, 300, 3), 241, np.uint8)).save(blank)
    with open_slide(blank, MPP) as slide, pytest.raises(BadInputError, match="no tissue"):
        find_nuclei(slide)


def test_tissue_without_nuclei_has_none(tmp_path):
    rgb = np.full((400, 400, 3), 242, np.uint8)
    rgb[50:350, 50:350] = (225, 150, 190)
    path = tmp_path / "eosin.png"
    Image.fromarray(rgb).save(path)
    with open_slide(path, MPP) as slide:
        found = find_nuclei(slide)
    assert len(found) == 0
    assert tuple(found.columns) == COLUMNS


@pytest.mark.realdata
def test_the_real_svs(focus_data):
    with open_slide(focus_data / "wsi" / "cmu_small_region.svs") as slide:
        found = find_nuclei(slide, region_um=(300, 400, 600, 800))
    # Skin: epidermis and dermis together hold a few thousand nuclei in a mm².
    assert 1500 < len(found) / 0.12 < 6000
    assert 20 < found["area_um2"].median() < 60

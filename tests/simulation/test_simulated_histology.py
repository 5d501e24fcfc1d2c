"""The H&E looks like H&E, shows the tissue that was measured, and tells of the expression, not everything."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.color import rgb2hed
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from focus_cli.simulation.fat import Fat
from focus_cli.simulation.nuclei import Nuclei
from focus_cli.simulation.tissue import make_tissue, place_cells


def _image(small):
    return tifffile.imread(small("visium_hd").raw / "tissue_image.tif", level=0)


@pytest.fixture(scope="module")
def image(small) -> np.ndarray:
    return _image(small)


@pytest.fixture(scope="module")
def features(image) -> np.ndarray:
    """Stain densities and their local spread around each pixel: (rows, columns, 6)."""
    haematoxylin, eosin, _ = np.moveaxis(rgb2hed(image), -1, 0)
    maps = []
    for stain in (haematoxylin, eosin):
        for sigma in (6.0, 20.0):
            maps.append(gaussian_filter(stain, sigma))
        maps.append(np.sqrt(np.maximum(gaussian_filter(stain**2, 8.0) - gaussian_filter(stain, 8.0) ** 2, 0)))
    return np.stack(maps, axis=-1)


def _sample(maps: np.ndarray, xy: np.ndarray) -> np.ndarray:
    where = xy[:, ::-1].T - 0.5
    return np.stack([map_coordinates(maps[..., k], where, order=1) for k in range(maps.shape[-1])], axis=1)


@pytest.mark.parametrize("platform", ["visium", "visium_hd", "anndata", "legacy_st"])
def test_the_image_is_a_tiled_pyramid_that_states_its_scale(small, platform):
    path = next(small(platform).raw.rglob("*.tif"))
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 3
        assert len(file.series[0].levels) == 3
        for i, page in enumerate(file.pages):
            assert page.is_tiled
            assert page.shape == (1200 // 2**i, 1200 // 2**i, 3)
            assert 1e4 / page.resolution[0] == pytest.approx(2**i)
            assert page.resolutionunit == 3  # centimetre
        assert not any(name in file.pages[0].tags for name in ("DateTime", "Software", "HostComputer"))
        full, half = (page.asarray().astype(float) for page in file.pages[:2])
    assert np.array_equal(np.asarray(Image.open(path)), full)
    blocks = full.reshape(600, 2, 600, 2, 3).mean(axis=(1, 3))
    assert np.abs(blocks - half).mean() < 4  # JPEG twice


def test_thumbnails_are_the_image_at_their_stated_scale(small, image):
    spatial = small("visium_hd").raw / "spatial"
    factors = json.loads(
        (small("visium_hd").raw / "binned_outputs/square_008um/spatial/scalefactors_json.json").read_text()
    )
    for name in ("hires", "lowres"):
        picture = np.asarray(Image.open(spatial / f"tissue_{name}_image.png")).astype(float)
        assert picture.shape[0] == pytest.approx(1200 * factors[f"tissue_{name}_scalef"], abs=1)
        resized = np.asarray(Image.fromarray(image).resize(picture.shape[1::-1], Image.Resampling.BOX))
        assert np.abs(picture - resized).mean() < 4


def test_glass_is_white_and_tissue_is_pink_and_blue(small, image):
    tissue = make_tissue(3, 1, 1200.0)
    centre = (np.arange(1200) + 0.5)[:, None]
    grid = np.stack(np.broadcast_arrays(centre.T, centre), axis=-1).reshape(-1, 2)
    domain = tissue.domain_at(grid).reshape(1200, 1200)
    glass = gaussian_filter((domain < 0).astype(float), 5) > 0.999
    solid = gaussian_filter(np.isin(domain, [0, 1, 2]).astype(float), 5) > 0.999
    assert image[glass].mean() > 238
    red, green, blue = image[solid].reshape(-1, 3).mean(axis=0)
    assert green < blue < red < 235
    # Told apart by brightness alone, most of the tissue is found.
    dark = gaussian_filter(image.mean(axis=2), 4) < 225
    assert dark[solid].mean() > 0.95
    assert dark[glass].mean() < 0.01


def test_haematoxylin_tells_nucleus_rich_domains(small, features):
    truth = small("visium_hd").truth
    density = _sample(features, truth.obsm["spatial"])[:, 1]
    rich = truth.obs["domain"].isin(["tumour", "immune"]).to_numpy()
    poor = truth.obs["domain"].isin(["stroma", "fat"]).to_numpy()
    used = rich | poor
    assert roc_auc_score(rich[used], density[used]) > 0.9


def test_the_image_foretells_markers_in_part_and_only_where_it_lies(small, features):
    fine = small("visium_hd").fine
    xy = fine.obsm["spatial"]
    x = StandardScaler().fit_transform(_sample(features, xy))
    total = fine.X.sum(axis=1)
    program = fine.var["program"].astype(str).to_numpy()
    folds = KFold(5)  # rows come in order of y: folds are strips of tissue

    def accuracy(name: str, x: np.ndarray) -> float:
        y = np.log1p(1e4 * fine.X[:, program == name].sum(axis=1) / total)
        return float(np.corrcoef(cross_val_predict(RidgeCV([1.0, 100.0]), x, y, cv=folds), y)[0, 1])

    for name in ("marker: Tumour epithelial", "marker: Fibroblast"):
        assert 0.4 < accuracy(name, x) < 0.97, name
    flipped = StandardScaler().fit_transform(_sample(features[:, ::-1], xy))
    name = "marker: Tumour epithelial"
    assert accuracy(name, flipped) < accuracy(name, x) - 0.2


@pytest.mark.parametrize("seed", range(6))
def test_no_rotation_or_mirror_image_of_the_outline_fits(seed):
    inside = make_tissue(seed, 1, 2000.0).inside
    turned = [np.rot90(a, k) for a in (inside, inside[:, ::-1]) for k in range(4)][1:]
    overlap = [(inside & t).sum() / (inside | t).sum() for t in turned]
    assert max(overlap) < 0.92, overlap
    assert 0.35 < inside.mean() < 0.75
    assert not (inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any())


@pytest.mark.parametrize("mpp", [1.0, 0.5])
def test_nuclei_are_drawn_alike_however_the_image_is_cut(mpp):
    tissue = make_tissue(3, 1, 1200.0)
    cells = place_cells(tissue, 3, 1)
    nuclei = Nuclei(tissue, cells, Fat(tissue, cells), np.random.default_rng(0))
    side = round(1200 / mpp)
    whole = np.stack(nuclei.draw(0, side, side, mpp))
    bands = [nuclei.draw(start, min(start + 77, side), side, mpp) for start in range(0, side, 77)]
    cut = np.stack([np.concatenate(parts) for parts in zip(*bands)])
    assert whole[0].max() > 1 and whole[1].max() > 0.1
    assert np.array_equal(whole, cut)

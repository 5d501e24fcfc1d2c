"""An image that has nothing to do with the locations is refused; the right one never is."""

import anndata
import numpy as np
import pytest
from scipy import ndimage

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.alignment import check_mismatch, compare_with_chance
from focus_cli.platforms.preprocessing import preprocess

SIDE, UM = 400, 4.0


def section(seed, sparse=0.0):
    """Tissue with holes, nuclei that vary in it, and cells of which a share `sparse` lies anywhere."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 12)
    tissue = noise > 0.2 * noise.std()
    nuclei = np.where(tissue, 0.5 + ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 15) * 8, 0.0)
    row, column = np.nonzero(tissue)
    some = rng.choice(len(row), 400, replace=False)
    xy = (np.column_stack([column, row])[some] + 0.5) * UM
    astray = rng.random(400) < sparse
    xy[astray] = rng.uniform(0.1, 0.9, (astray.sum(), 2)) * SIDE * UM
    place = (xy / UM).astype(int)
    counts = rng.poisson(np.exp(5 + 2 * nuclei[place[:, 1], place[:, 0]])) + 1
    return xy, counts, nuclei.astype(np.float32), tissue


def compared(xy, counts, nuclei, tissue, pitch=40.0):
    return compare_with_chance(xy, counts, nuclei, tissue, um_per_px=UM, pitch_um=pitch)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sparse", [0.0, 0.3])
def test_the_sections_own_image_passes(seed, sparse):
    figures = compared(*section(seed, sparse))
    assert check_mismatch(figures) == []
    assert figures["as_good"] < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_the_image_of_another_section_is_refused(seed):
    xy, counts, *_ = section(seed)
    *_, nuclei, tissue = section(seed + 100)
    figures = compared(xy, counts, nuclei, tissue)
    with pytest.raises(BadInputError, match="nothing to do with this image") as caught:
        check_mismatch(figures)
    assert "--register" in caught.value.hint
    assert "--no-image" in caught.value.hint
    assert "forced" in check_mismatch(figures, force=True)[0]


def test_tissue_that_fills_the_image_is_no_evidence():
    xy, counts, nuclei, tissue = section(0)
    assert not compared(xy, counts[::-1], nuclei, np.ones_like(tissue))["unrelated"]


def test_few_locations_and_an_image_without_tissue_are_no_evidence():
    xy, counts, nuclei, tissue = section(0, 1.0)
    assert not compared(xy[:20], counts[:20], nuclei, tissue)["unrelated"]
    assert not compared(xy, counts, nuclei, np.zeros_like(tissue))["unrelated"]


def test_the_same_seed_gives_the_same_figures():
    assert compared(*section(3)) == compared(*section(3))


@pytest.mark.realdata
@pytest.mark.parametrize("mpp", [0.5, 1.0, 2.0])
def test_cells_whose_axes_are_exchanged_are_refused_and_the_way_back_is_named(focus_data, tmp_path, mpp):
    folder = focus_data / "native" / "image_mismatch"
    adata = anndata.read_h5ad(folder / "NCBI858.h5ad")
    adata.obsm["spatial"] = adata.obs[["x_pixel", "y_pixel"]].to_numpy()
    adata.write_h5ad(tmp_path / "a.h5ad")
    # At 0.5 µm too little is left to compare, and some locations lie outside.
    match = "nothing to do with|outside the image" if mpp < 1 else "better with x and y exchanged"
    with pytest.raises(BadInputError, match=match) as caught:
        preprocess(tmp_path / "a.h5ad", tmp_path / "out", "a", image=folder / "NCBI858.jpg", mpp=mpp)
    assert mpp < 1 or '--orient "with x and y exchanged"' in caught.value.hint
    assert not (tmp_path / "out").exists()

"""How well pen marks, folds, blur and nuclei are found: real slides, with faults of known place put on them.

    FOCUS_DATA=../shared/data python benchmarks/slide_quality.py

Ink: strokes 200 µm wide of nine colours; the ink adds 85 % of its density and hides half of what lies under it. Folds:
streaks of 90 × 1200 µm where the tissue of 120 µm further on lies on top. Blur: Gaussian, with a scanner's noise of two
grey levels added after it. Nuclei: simulated sections, centres one to one within 4 µm. Nothing is fitted here.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from focus_cli.histology.slides import open_slide, tissue_mask
from focus_cli.histology.slides.artefacts import clean_tissue, fold_mask, pen_mask
from focus_cli.histology.slides.augment import augment_stain
from focus_cli.histology.slides.quality import tile_quality
from focus_cli.histology.slides.stain import optical_density

MPP = 8.0
INKS = {
    "violet": (40, 60, 190),
    "blue": (30, 80, 170),
    "navy": (30, 40, 120),
    "cyan": (40, 150, 190),
    "green": (30, 140, 70),
    "dark green": (20, 90, 50),
    "black": (40, 40, 45),
    "red": (200, 30, 50),
    "dark red": (170, 20, 40),
}


def slides(data: Path) -> dict[str, tuple[Path, float | None]]:
    """Name → file and µm per pixel."""
    breast = data / "st_her2_breast" / "ST-imgs" / "C"
    found = {"kidney": (data / "visium_hd_kidney" / "tissue_image.jpg", 2.0056)}
    found["skin"] = (data / "wsi" / "cmu_small_region.svs", None)
    return found | {f"breast {c}": (next((breast / c).glob("*.jpg")), 0.688) for c in ("C2", "C3", "C4", "C5")}


def _band(shape, rng, mask, width_um: float, length_um: float = np.inf) -> np.ndarray:
    """A wavy band through a random pixel of `mask`."""
    y, x = np.mgrid[: shape[0], : shape[1]] * MPP
    rows, columns = np.nonzero(mask)
    i, angle = rng.integers(len(rows)), rng.uniform(0, np.pi)
    dx, dy = x - columns[i] * MPP, y - rows[i] * MPP
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = dx * np.sin(angle) - dy * np.cos(angle) + 30 * np.sin(along / 180)
    return (abs(across) < width_um / 2) & (abs(along) < length_um / 2)


def _colour(density: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(255 * 10**-density), 0, 255).astype(np.uint8)


def ink(rgb: np.ndarray, tissue: np.ndarray, repeats: int = 4) -> dict[str, tuple[float, float, float]]:
    """Ink → share found over tissue, over glass, and of what lies 80 µm and more beside it."""
    found = {}
    for name, colour in INKS.items():
        hits = []
        for seed in range(repeats):
            rng = np.random.default_rng(seed)
            where = _band(tissue.shape, rng, tissue, 200)
            grain = 1 + 0.1 * 5 * ndimage.gaussian_filter(rng.standard_normal(tissue.shape), 3)
            soft = ndimage.gaussian_filter(where.astype(float), 0.5)[..., None]
            added = 0.85 * soft * grain[..., None] * optical_density(np.array(colour, np.uint8))
            mask = pen_mask(_colour(optical_density(rgb) * (1 - 0.5 * soft) + added), MPP)
            beside = ~ndimage.binary_dilation(where, iterations=10)
            hits.append([_share(mask, part) for part in (where & tissue, where & ~tissue, beside)])
        found[name] = tuple(np.nanmean(hits, axis=0))
    return found


def folds(rgb: np.ndarray, tissue: np.ndarray, repeats: int = 12) -> tuple[float, float, float]:
    """Share of folds found, and shares of the tissue taken for one: with a fold elsewhere, and without any."""
    hits = []
    for seed in range(repeats):
        band = _band(tissue.shape, np.random.default_rng(seed), tissue, 90, 1200) & tissue
        other = np.roll(optical_density(rgb), int(120 / MPP), axis=0)
        mask = fold_mask(_colour(optical_density(rgb) + np.where(band[..., None], other, 0)), MPP, tissue)
        beside = tissue & ~ndimage.binary_dilation(band, iterations=8)
        hits.append([_share(mask, ndimage.binary_erosion(band)), _share(mask, beside)])
    return (*np.nanmean(hits, axis=0), _share(fold_mask(rgb, MPP, tissue), tissue))


def blur(slide, clean: np.ndarray, sigmas=(0.0, 1.0, 2.0, 2.5, 3.0, 4.0), n: int = 60) -> dict[float, float]:
    """σ in µm → share of tissue tiles (224 px) that are called out of focus."""
    rng = np.random.default_rng(0)
    mpp = max(slide.mpp, 0.5)
    side = 224 * mpp / slide.mpp
    rows, columns = np.nonzero(clean)
    called = {sigma: [] for sigma in sigmas}
    for i in rng.choice(len(rows), n, replace=len(rows) < n):
        x, y = (columns[i] + 0.5) * MPP / slide.mpp, (rows[i] + 0.5) * MPP / slide.mpp
        tile = slide.read(x - side / 2, y - side / 2, side, side, mpp)
        for sigma, calls in called.items():
            soft = ndimage.gaussian_filter(tile.astype(float), (sigma / mpp, sigma / mpp, 0))
            soft += 2 * rng.standard_normal(soft.shape) * (sigma > 0)
            calls.append(tile_quality(np.clip(np.rint(soft), 0, 255).astype(np.uint8), mpp).blurred)
    return {sigma: float(np.mean(calls)) for sigma, calls in called.items()}


def nuclei(mpp: float, sections=(1, 2, 3), size_um: float = 900.0) -> tuple[float, float, float]:
    """Precision, recall and F1 of centres within 4 µm, mean over simulated sections."""
    import tempfile

    from PIL import Image
    from scipy import sparse
    from scipy.sparse.csgraph import maximum_bipartite_matching
    from scipy.spatial import cKDTree

    from focus_cli.histology.nuclei import find_nuclei
    from focus_cli.simulation.histology import Histology
    from focus_cli.simulation.tissue import make_tissue, place_cells

    figures = []
    for number in sections:
        tissue = make_tissue(0, number, size_um)
        cells = place_cells(tissue, 0, number)
        drawn = Histology(tissue, cells, mpp, seed=0, section=number)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "he.png"
            Image.fromarray(drawn.band(0, drawn.height)).save(path)
            with open_slide(path, mpp) as slide:
                found = find_nuclei(slide)[["x_um", "y_um"]].to_numpy()
        near = cKDTree(found).query_ball_tree(cKDTree(cells.xy_um), 4.0)
        pairs = (
            np.repeat(np.arange(len(found)), [len(p) for p in near]),
            np.concatenate([np.array(p, int) for p in near]),
        )
        graph = sparse.csr_matrix((np.ones(len(pairs[0])), pairs), shape=(len(found), len(cells)))
        hits = (maximum_bipartite_matching(graph, perm_type="column") >= 0).sum()
        figures.append((hits / len(found), hits / len(cells), 2 * hits / (len(found) + len(cells))))
    return tuple(np.mean(figures, axis=0))


def augmentation(px: int, rounds: int = 5, n: int = 200) -> float:
    """Tiles a second of processor time, median."""
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (px, px, 3)).astype(np.uint8)
    rates = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(n):
            augment_stain(tile, rng)
        rates.append(n / (time.process_time() - start))
    return float(np.median(rates))


def _share(mask: np.ndarray, where: np.ndarray) -> float:
    return float(mask[where].mean()) if where.any() else float("nan")


def main() -> None:
    """Print the tables."""
    data = Path(os.environ.get("FOCUS_DATA", "../shared/data"))
    for name, (path, mpp) in slides(data).items():
        with open_slide(path, mpp) as slide:
            rgb = slide.read(0, 0, slide.width, slide.height, MPP)
            tissue = tissue_mask(rgb, MPP)
            print(f"\n{name}: pen marks on the slide as it is {pen_mask(rgb, MPP).mean():.5f}")
            for colour, figures in ink(rgb, tissue).items():
                print(f"  {colour:11s} over tissue {figures[0]:.2f}, glass {figures[1]:.2f}; beside {figures[2]:.5f}")
            hit, beside, clean = folds(rgb, tissue)
            print(f"  folds found {hit:.2f}; tissue taken for one {beside:.4f}, without any {clean:.4f}")
            called = blur(slide, clean_tissue(rgb, MPP))
            print("  called blurred: " + ", ".join(f"σ {s:g} µm {v:.2f}" for s, v in called.items()))
    print()
    for mpp in (0.25, 0.5, 1.0, 2.0):
        print("nuclei at {:g} µm: precision {:.3f}, recall {:.3f}, F1 {:.3f}".format(mpp, *nuclei(mpp)))
    for px in (112, 224):
        print(f"stain augmentation, {px} px: {augmentation(px):,.0f} tiles/s")


if __name__ == "__main__":
    main()

"""Pen marks and folds on a thumbnail: what is stained, and yet no tissue to learn from.

All lengths are physical and all colours are optical densities above the glass, so that a threshold means the
same on every slide.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from focus_cli.core.errors import UsageError
from focus_cli.histology.slides.stain import optical_density, white_point
from focus_cli.histology.slides.tissue import tissue_mask

WORKING_UM = 8.0  # pixels are averaged to about this before artefacts are sought

# Ink. Shares are of the summed density: haematoxylin absorbs green as much as red, eosin green most of all, and
# both absorb blue least. The margins lie beyond the 99.9th percentile of kidney, skin and four breast sections.
_INK_SMOOTH_UM = 16.0
_INK_DENSITY, _BLACK_DENSITY, _RED_DENSITY = 0.15, 0.45, 0.30  # mean over the channels
_RED_OVER_GREEN = 0.09  # blue, green and cyan ink absorb red more than green by this share
_BLACK_SPREAD = 0.09  # black ink absorbs all channels alike, within this share
_BLUE_OF_RED_INK, _RED_OF_RED_INK = 0.36, 0.12  # red ink absorbs blue nearly as much as green, and no red
# Violet, navy and black ink over tissue look like dense haematoxylin, and are smooth where nuclei are not.
_DARK_DENSITY, _DARK_ROUGHNESS, _DARK_RED_OVER_GREEN = 0.42, 0.16, -0.09
_ROUGHEST_INK = 0.45  # standard deviation over mean of the density within `_ROUGH_UM`
_ROUGH_UM = 40.0
_MIN_INK_UM2 = 80.0**2

# Folds: saturation minus intensity of the smoothed picture, averaged along lines of every direction.
_LINE_UM, _LINE_WIDTH_UM, _DIRECTIONS = 240.0, 40.0, 12
_FOLD_SEED, _FOLD_EDGE = 2.4, 1.7  # interquartile ranges above the tissue's median
_OWN_UM = 16.0  # σ at which a single pixel is judged
_MIN_FOLD_UM2 = 60.0 * 200.0
_LEAST_TISSUE_UM2 = 500.0**2  # less has no median to compare with


def pen_mask(rgb: np.ndarray, mpp: float) -> np.ndarray:
    """Find ink: blue, green, cyan, red and black strokes of a pen or of a tissue-marking dye.

    A pixel is ink where its colour, averaged over σ = 16 µm, is none that haematoxylin and eosin make
    together, and where its surroundings are smooth; smaller pieces than (80 µm)² are dropped.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3), a thumbnail.
    mpp
        µm per pixel of `rgb`, best 2–16.

    Returns
    -------
    np.ndarray
        bool (h, w).

    Notes
    -----
    A large haemorrhage may be taken for red ink, and red ink over pale tissue for eosin.
    """
    density, factor = _working_density(rgb, mpp)
    small_mpp = mpp * factor
    smooth = _smoothed(density, _INK_SMOOTH_UM / small_mpp)
    total = smooth.sum(axis=2)
    red, green, blue = np.moveaxis(smooth / np.maximum(total, 1e-6)[..., None], -1, 0)
    mean = total / 3
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    ink = (mean > _INK_DENSITY) & (red - green > _RED_OVER_GREEN)
    ink |= (mean > _BLACK_DENSITY) & (spread < _BLACK_SPREAD)
    ink |= (mean > _RED_DENSITY) & (blue > _BLUE_OF_RED_INK) & (red < _RED_OF_RED_INK)
    rough = _roughness(density.mean(axis=2), small_mpp)
    ink &= rough < _ROUGHEST_INK
    ink |= (mean > _DARK_DENSITY) & (red - green > _DARK_RED_OVER_GREEN) & (rough < _DARK_ROUGHNESS)
    # The smoothed colour of a stroke's rim is a mixture; a stroke covers what lies within a σ of it.
    ink = ndimage.binary_dilation(_without_small(ink, _MIN_INK_UM2 / small_mpp**2), iterations=1)
    return _enlarged(ink, factor, rgb.shape[:2])


def fold_mask(rgb: np.ndarray, mpp: float, tissue: np.ndarray) -> np.ndarray:
    """Find folds: long streaks of tissue that are both darker and more saturated than the rest.

    Where a section lies double it absorbs twice, so saturation rises as intensity falls; their difference parts
    folds from dark, unsaturated dirt (Palokangas et al. 2007; Bautista & Yagi, J Pathol Inform 1 (2010) 22). It
    is averaged along lines of 240 × 40 µm in 12 directions, which leaves folds and evens out groups of nuclei,
    and compared with the slide's own tissue: more than 2.4 interquartile ranges above the median, grown to 1.7.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3), a thumbnail.
    mpp
        µm per pixel of `rgb`.
    tissue
        bool (h, w): tissue without ink; the median and the range are taken there.

    Returns
    -------
    np.ndarray
        bool (h, w), within `tissue`; empty where there is less than (500 µm)² of tissue to compare with.
    """
    density, factor = _working_density(rgb, mpp)
    small_mpp = mpp * factor
    where = _shrunk(np.asarray(tissue, bool), factor)
    if where.sum() * small_mpp**2 < _LEAST_TISSUE_UM2:
        return np.zeros(rgb.shape[:2], bool)
    light = 10 ** -_smoothed(density, 1.0)
    intensity = light.mean(axis=2)
    difference = 1 - light.min(axis=2) / np.maximum(intensity, 1e-3) - intensity
    # Off the tissue stands the median, so that an edge to the glass is no edge.
    streaks = _along_lines(np.where(where, difference, np.median(difference[where])), small_mpp)
    low, middle, high = np.percentile(streaks[where], [25, 50, 75])
    score = (streaks - middle) / max(high - low, 0.02)
    folds = _grown((score > _FOLD_SEED) & where, (score > _FOLD_EDGE) & where)
    if folds.any():
        # A line that crosses a fold is raised beside it, too: the fold is what is itself nearer to it than to the rest.
        own = ndimage.gaussian_filter(difference, _OWN_UM / small_mpp)
        folds &= own > (np.median(own[where]) + np.percentile(own[folds], 75)) / 2
    folds = _without_small(folds, _MIN_FOLD_UM2 / small_mpp**2)
    return _enlarged(folds, factor, rgb.shape[:2]) & tissue


def clean_tissue(thumbnail: np.ndarray, mpp: float) -> np.ndarray:
    """Find tissue that is worth looking at: `tissue_mask` without pen marks and folds.

    Parameters
    ----------
    thumbnail
        uint8 (h, w, 3), best at 4–16 µm per pixel.
    mpp
        µm per pixel of `thumbnail`.

    Returns
    -------
    np.ndarray
        bool (h, w).

    Raises
    ------
    UsageError
        If `mpp` is not positive.
    """
    tissue, pen, fold = tissue_and_artefacts(thumbnail, mpp)
    return tissue & ~pen & ~fold


def tissue_and_artefacts(thumbnail: np.ndarray, mpp: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the masks of tissue, ink and folds, bool (h, w) each; see `clean_tissue`."""
    tissue = tissue_mask(thumbnail, mpp)
    pen = pen_mask(thumbnail, mpp)
    return tissue, pen, fold_mask(thumbnail, mpp, tissue & ~pen)


def _working_density(rgb: np.ndarray, mpp: float) -> tuple[np.ndarray, int]:
    """Density above the glass, float32, averaged by a whole factor to at most `WORKING_UM` per pixel; the factor."""
    if not mpp > 0:
        raise UsageError(f"µm per pixel must be positive, not {mpp}")
    factor = max(1, int(WORKING_UM / mpp + 0.01))
    density = np.maximum(optical_density(rgb) - optical_density(white_point(rgb)), 0)
    if factor > 1:
        rows, columns = (-(-n // factor) * factor for n in rgb.shape[:2])
        density = np.pad(density, ((0, rows - rgb.shape[0]), (0, columns - rgb.shape[1]), (0, 0)), mode="edge")
        density = density.reshape(rows // factor, factor, columns // factor, factor, 3).mean(axis=(1, 3))
    return density, factor


def _smoothed(density: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([ndimage.gaussian_filter(density[..., c], sigma, truncate=3) for c in range(3)], axis=-1)


def _roughness(density: np.ndarray, mpp: float) -> np.ndarray:
    side = max(3, round(_ROUGH_UM / mpp))
    mean = ndimage.uniform_filter(density, side)
    variance = ndimage.uniform_filter(density**2, side) - mean**2
    return np.sqrt(np.maximum(variance, 0)) / np.maximum(mean, 1e-3)


def _along_lines(values: np.ndarray, mpp: float) -> np.ndarray:
    """The largest mean of `values` along a line through each pixel."""
    from scipy.signal import fftconvolve

    reach = max(1, int(_LINE_UM / mpp / 2))
    # Beyond the picture its edge goes on.
    wide = np.pad(ndimage.gaussian_filter(values, _LINE_WIDTH_UM / mpp / np.sqrt(12)), reach, mode="edge")
    steps = np.linspace(-reach, reach, 4 * reach + 1)
    best = None
    for angle in np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS:
        line = np.zeros((2 * reach + 1, 2 * reach + 1))
        line[np.rint(reach + steps * np.sin(angle)).astype(int), np.rint(reach + steps * np.cos(angle)).astype(int)] = 1
        mean = fftconvolve(wide, line / line.sum(), mode="valid")
        best = mean if best is None else np.maximum(best, mean)
    return best


def _grown(seeds: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Pieces of `edge` that hold a seed."""
    labels, n = ndimage.label(edge, structure=np.ones((3, 3)))
    keep = np.zeros(n + 1, bool)
    keep[labels[seeds]] = True
    keep[0] = False
    return keep[labels]


def _without_small(mask: np.ndarray, area_px: float) -> np.ndarray:
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    keep = np.bincount(labels.ravel()) >= area_px
    keep[0] = False
    return keep[labels]


def _shrunk(mask: np.ndarray, factor: int) -> np.ndarray:
    """Take every `factor`-th pixel, the middle one of the block that `_working_density` averages."""
    rows, columns = (-(-n // factor) * factor for n in mask.shape)
    padded = np.pad(mask, ((0, rows - mask.shape[0]), (0, columns - mask.shape[1])), mode="edge")
    return padded[factor // 2 :: factor, factor // 2 :: factor]


def _enlarged(mask: np.ndarray, factor: int, shape: tuple[int, int]) -> np.ndarray:
    return mask.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]]

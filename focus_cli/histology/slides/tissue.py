"""Where the tissue is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from focus_cli.core.errors import UsageError
from focus_cli.histology.slides.stain import optical_density, white_point

SMOOTH_UM = 10.0  # σ of the window: a cell's lumen is tissue, a gap between sections is not
MIN_PIECE_UM2 = 150.0**2  # smaller pieces are dust
MAX_HOLE_UM2 = 100.0**2  # smaller holes (vessels, ducts) are part of the tissue
# Otsu's threshold is held within these, base-10 optical density above the glass. The upper one is what
# keeps a section without background whole: there Otsu would part the dark tissue from the pale.
_DENSITY_RANGE = (0.03, 0.10)
_CHROMA_RANGE = (0.025, 0.07)


def tissue_mask(rgb: np.ndarray, mpp: float) -> np.ndarray:
    """Find stained tissue on a thumbnail.

    A pixel is tissue where both its optical density and its saturation (spread of the density over the
    channels) exceed Otsu's thresholds; then dust is dropped and small holes are closed, by physical size.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3), best at 4–20 µm per pixel.
    mpp
        µm per pixel of `rgb`.

    Returns
    -------
    np.ndarray
        bool (h, w).
    """
    if not mpp > 0:
        raise UsageError(f"µm per pixel must be positive, not {mpp}")
    density = optical_density(rgb) - optical_density(white_point(rgb))
    np.maximum(density, 0, out=density)
    sigma = SMOOTH_UM / mpp
    for channel in range(3):
        density[..., channel] = ndimage.gaussian_filter(density[..., channel], sigma, truncate=3)
    strength = density.mean(axis=2)
    chroma = density.max(axis=2) - density.min(axis=2)
    mask = (strength > _bounded_otsu(strength, _DENSITY_RANGE)) & (chroma > _bounded_otsu(chroma, _CHROMA_RANGE))
    pixels = 1 / mpp**2  # px per µm²
    mask = _without_small(mask, MIN_PIECE_UM2 * pixels)
    return ~_without_small(~mask, MAX_HOLE_UM2 * pixels)


def _bounded_otsu(values: np.ndarray, bounds: tuple[float, float]) -> float:
    if float(values.max()) - float(values.min()) < 1e-6:
        return bounds[1]
    return float(np.clip(threshold_otsu(values), *bounds))


def _without_small(mask: np.ndarray, area_px: float) -> np.ndarray:
    """Drop 8-connected pieces smaller than `area_px`, or than a twentieth of a small picture."""
    labels, n = ndimage.label(mask, structure=np.ones((3, 3)))
    if n == 0:
        return mask
    keep = np.bincount(labels.ravel()) >= min(area_px, mask.size / 20)
    keep[0] = False
    return keep[labels]

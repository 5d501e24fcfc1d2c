"""How sharp an image of tissue is, on a scale that means the same at 0.25 and at 2 µm per pixel."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from focus_cli.core.errors import UsageError
from focus_cli.histology.slides.stain import optical_density

FINE_UM, COARSE_UM = (1.0, 2.0), (4.0, 8.0)  # σ of the two differences of Gaussians
COARSEST_MPP = 2.2  # beyond it no pixel tells 1 µm from 2 µm
OUT_OF_FOCUS = -0.40
_TRUNCATE = 3.0


def sharpness(rgb: np.ndarray, mpp: float, mask: np.ndarray | None = None) -> float:
    """Measure log10 of the amplitude of details of 1–2 µm over that of structures of 4–8 µm.

    Both are differences of Gaussians of the mean optical density, root mean square over the picture; dividing
    by the coarser takes the strength of the stain out. Sharp sections of kidney, skin and breast lie between
    −0.28 and 0.3; below `OUT_OF_FOCUS` (−0.40) nuclear texture is gone (blur of σ ≈ 2.5 µm and more).

    Parameters
    ----------
    rgb
        uint8 (h, w, 3).
    mpp
        µm per pixel. Each pixel is itself an average over its area, which is allowed for: values agree within
        0.02 up to 1 µm per pixel and lie up to 0.1 too high at 2.
    mask
        bool (h, w): where to measure; default: everywhere.

    Returns
    -------
    float
        NaN where pixels are coarser than 2.2 µm, or where there is nothing to measure.
    """
    if not mpp > 0:
        raise UsageError(f"µm per pixel must be positive, not {mpp}")
    if mpp > COARSEST_MPP:
        return math.nan
    density = optical_density(rgb).mean(axis=2)
    fine, coarse = (_band_energy(density, band, mpp, mask) for band in (FINE_UM, COARSE_UM))
    # A hundredth of a grey level is no structure.
    return 0.5 * math.log10(fine / coarse) if coarse > 1e-9 and fine > 0 else math.nan


def _band_energy(density: np.ndarray, band: tuple[float, float], mpp: float, mask: np.ndarray | None) -> float:
    narrow, wide = (_blurred(density, sigma, mpp) for sigma in band)
    energy = (narrow - wide) ** 2
    if mask is not None:
        energy = energy[mask]
    return float(energy.mean(dtype=np.float64)) if energy.size else 0.0


def _blurred(density: np.ndarray, sigma_um: float, mpp: float) -> np.ndarray:
    """Blur to σ in all: a pixel of side `mpp` is an average of variance mpp² / 12 already."""
    rest = math.sqrt(max(sigma_um**2 - mpp**2 / 12, 0.0)) / mpp
    return ndimage.gaussian_filter(density, rest, truncate=_TRUNCATE)

"""Nuclei by classical image analysis: haematoxylin, local threshold, blobs, watershed. No weights, no training.

Every step looks at most `REACH_UM` far, so that a nucleus comes out the same whatever window it is found in.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from focus_cli.histology.nuclei.appearance import SlideLook, haematoxylin

REACH_UM = 72.0  # of all filters together, and of a watershed's neighbours

_SMOOTH_UM = 0.6  # σ: grain goes, the rim of a nucleus stays
_AROUND_UM = 12.0  # σ of the surroundings that a nucleus must be darker than
_ABOVE_AROUND = 0.04  # haematoxylin, optical density
_BLOB_UM = 2.4  # σ of the Laplacian of Gaussian: discs of radius 3.4 µm answer most
_LEAST_BLOB = 0.02  # of that Laplacian times σ²
_APART_UM = 3.0  # two centres of nuclei are never nearer
_SMALLEST_UM2, _LARGEST_UM2 = 10.0, 250.0


def segment(rgb: np.ndarray, mpp: float, look: SlideLook) -> tuple[np.ndarray, np.ndarray]:
    """Segment the nuclei of a window.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3).
    mpp
        µm per pixel, 0.25–1 (up to 2 with losses).
    look
        The slide's glass, and the haematoxylin from which on a pixel may be a nucleus; the same for all windows.

    Returns
    -------
    labels
        int32 (h, w): 0 between nuclei.
    seeds
        int64 (n, 2): (row, column) of the pixel that stands for nucleus i + 1; what decides which window owns it.
    """
    from skimage.segmentation import watershed

    stain = haematoxylin(rgb, look.glass)
    smooth = _gaussian(stain, _SMOOTH_UM / mpp)
    around = _gaussian(stain, _AROUND_UM / mpp)
    mask = smooth > np.maximum(around + _ABOVE_AROUND, look.stained)
    sigma = _BLOB_UM / mpp
    blobs = -(sigma**2) * ndimage.gaussian_laplace(stain, sigma, truncate=4)
    reach = int(np.ceil(_APART_UM / mpp))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    peaks = blobs == ndimage.maximum_filter(blobs, footprint=np.hypot(x, y) * mpp <= _APART_UM)
    peaks &= mask & (blobs > _LEAST_BLOB)
    markers, n = ndimage.label(peaks, structure=np.ones((3, 3)))
    labels = watershed(-blobs, markers, mask=mask).astype(np.int32, copy=False)
    area = np.bincount(labels.ravel(), minlength=n + 1) * mpp**2
    keep = (area >= _SMALLEST_UM2) & (area <= _LARGEST_UM2)
    keep[0] = False
    number = np.cumsum(keep, dtype=np.int32) * keep
    at = np.flatnonzero(markers)
    marked, first = np.unique(markers.ravel()[at], return_index=True)
    rows, columns = np.unravel_index(at[first], markers.shape)
    chosen = keep[marked]
    return number[labels].astype(np.int32, copy=False), np.stack([rows, columns], axis=1)[chosen]


def _gaussian(values: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(values, sigma, truncate=3)

"""Optical density and the haematoxylin–eosin colour space.

The stain vectors are fixed, so that the same colour means the same number on every slide; fitting them
per slide (Macenko, Vahadane) would make one section's features depend on what else lies on it.
"""

from __future__ import annotations

import numpy as np

# Rows: haematoxylin, eosin, and what neither explains, each of unit length in optical density.
# Ruifrok & Johnston, Anal Quant Cytol Histol 23 (2001) 291-299, as in scikit-image's `rgb2hed`.
_H = np.array([0.65, 0.70, 0.29])
_E = np.array([0.07, 0.99, 0.11])
_REST = np.cross(_H, _E)
STAINS = np.stack([v / np.linalg.norm(v) for v in (_H, _E, _REST)])

_GLASS_SPREAD = 0.08  # more colour than this (density, over the channels) is stain, not a tinted lamp

# uint8 → optical density, base 10. 0 is read as 1, so that the darkest value is log10(255) = 2.41.
_OD = -np.log10(np.maximum(np.arange(256), 1) / 255.0).astype(np.float32)


def optical_density(rgb: np.ndarray) -> np.ndarray:
    """Return −log10(I / 255) per channel.

    Parameters
    ----------
    rgb
        uint8, any shape.

    Returns
    -------
    np.ndarray
        float32 of the same shape, 0 (white) to 2.41.
    """
    return _OD[rgb]


def unmix(density: np.ndarray) -> np.ndarray:
    """Return the amounts of haematoxylin, eosin and the rest that make up an optical density.

    Parameters
    ----------
    density
        float32 (..., 3), as `optical_density` gives it.

    Returns
    -------
    np.ndarray
        float32 (..., 3); amounts may be slightly negative where the colour is outside the stains' cone.
    """
    return density @ np.linalg.inv(STAINS).astype(np.float32)


def mix(amounts: np.ndarray) -> np.ndarray:
    """Return the uint8 RGB that amounts of the three stains look like; the inverse of `unmix`.

    Parameters
    ----------
    amounts
        float (..., 3): haematoxylin, eosin, rest.
    """
    return np.clip(np.rint(255 * 10 ** -(np.asarray(amounts) @ STAINS)), 0, 255).astype(np.uint8)


def white_point(rgb: np.ndarray) -> np.ndarray:
    """Estimate the colour of the empty glass: the 99th percentile of each channel, or white.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3).

    Returns
    -------
    np.ndarray
        uint8 (3,). White where even the palest pixels are stained: there is no glass in the picture.
    """
    palest = np.maximum(np.rint(np.percentile(rgb.reshape(-1, 3), 99, axis=0)), 1).astype(np.uint8)
    density = optical_density(palest)
    stained = density.max() - density.min() > _GLASS_SPREAD
    return np.full(3, 255, np.uint8) if stained else palest

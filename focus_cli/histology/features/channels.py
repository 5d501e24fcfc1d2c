"""What is measured at every pixel: stain, colour, edges, texture.

Every channel is isotropic (turning the image turns the channel), local (a pixel depends on nothing
beyond `REACH_UM`, and two pixels) and absolute (nothing is normalised by the slide). All are continuous
in the pixels: a threshold would make a feature jump on one grey level.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from focus_cli.histology.slides.stain import optical_density, unmix

CHANNELS = (
    "eosin",  # amount of eosin, optical density
    "saturation",  # 1 − min/max of the colour channels
    "lumen",  # 1 on bare glass, 0 on tissue
    "edge",  # gradient of the mean density, 1/µm
    "chromatin",  # haematoxylin beyond what cytoplasm takes up, optical density
    "basophilia",  # haematoxylin × eosin: stained by both, as ribosome-rich cytoplasm is
    "granules_2um",  # haematoxylin against its surroundings of 2 µm: structure inside nuclei
    "texture_4um",  # mean density at 2 µm against 4 µm: outlines
    "clusters_10um",  # haematoxylin at 4 µm against 10 µm: nuclei against their surroundings
)
TENSOR = ("xx", "yy", "xy")  # products of the gradient's components, for the coherence of edges

TRUNCATE = 3.0  # Gaussians end at three σ
REACH_UM = 30.0  # the widest of them

_LUMEN_DENSITY, _LUMEN_SOFTNESS = 0.10, 0.02
_CYTOPLASM_H = 0.20


def measure(rgb: np.ndarray, mpp: float) -> tuple[np.ndarray, np.ndarray]:
    """Measure every channel.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3), with a halo: results within `reach_px` of the border are not to be used.
    mpp
        µm per pixel.

    Returns
    -------
    values
        float32 (len(CHANNELS), h, w).
    tensor
        float32 (3, h, w), in the order of `TENSOR`.
    """
    density = optical_density(rgb)
    amounts = unmix(density)
    h, e = np.ascontiguousarray(amounts[..., 0]), np.ascontiguousarray(amounts[..., 1])
    mean = density.mean(axis=2)

    def smooth(channel: np.ndarray, sigma_um: float) -> np.ndarray:
        return ndimage.gaussian_filter(channel, sigma_um / mpp, truncate=TRUNCATE)

    h2, h4, h10 = smooth(h, 2), smooth(h, 4), smooth(h, 10)
    mean2, mean4 = smooth(mean, 2), smooth(mean, 4)
    gx, gy = _slope(mean2, 1, mpp), _slope(mean2, 0, mpp)
    values = np.empty((len(CHANNELS), *mean.shape), np.float32)
    values[0] = e
    values[1] = _saturation(rgb)
    values[2] = 0.5 - 0.5 * np.tanh((mean - _LUMEN_DENSITY) / (2 * _LUMEN_SOFTNESS))
    values[3] = np.hypot(gx, gy)
    values[4] = np.maximum(h2 - _CYTOPLASM_H, 0)
    values[5] = np.maximum(h2, 0) * np.maximum(smooth(e, 2), 0)
    values[6] = np.abs(h - h2)
    values[7] = np.abs(mean2 - mean4)
    values[8] = np.abs(h4 - h10)
    return values, np.stack([gx * gx, gy * gy, gx * gy])


def reach_px(mpp: float) -> int:
    """How far a channel looks, in px; rounding of the windows and the gradient's stencil included."""
    return int(np.ceil(REACH_UM / mpp)) + 2


def _slope(values: np.ndarray, axis: int, mpp: float) -> np.ndarray:
    """Central difference per µm."""
    return ndimage.correlate1d(values, np.array([-0.5, 0, 0.5]) / mpp, axis=axis)


def _saturation(rgb: np.ndarray) -> np.ndarray:
    brightest = np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2]).astype(np.float32)
    darkest = np.minimum(np.minimum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])
    return 1 - darkest / np.maximum(brightest, 1)

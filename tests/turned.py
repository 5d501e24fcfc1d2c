"""Pictures turned, mirrored, shifted and rescaled by known transforms: the truth behind a registration."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from focus_cli.core.coordinates import Affine


def turn(
    rgb: np.ndarray,
    *,
    degrees: float = 0.0,
    mirrored: bool = False,
    shift=(0.0, 0.0),
    scale: float = 1.0,
    margin: int = 20,
) -> tuple[np.ndarray, Affine]:
    """Turn a picture on white glass.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3).
    degrees
        Clockwise, after mirroring left to right.
    shift
        Glass that is added to the left and at the top, in px of `rgb`.
    scale
        Pixels of the result per pixel of `rgb`.

    Returns
    -------
    picture, transform
        uint8, and pixels of `rgb` → pixels of the picture.
    """
    height, width = rgb.shape[:2]
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = linear @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ linear.T
    low = corners.min(axis=0) - scale * (np.array(shift) + margin)
    size = np.ceil(corners.max(axis=0) + scale * margin - low).astype(int)
    transform = Affine.of(np.column_stack([linear, -low]))
    back = np.array(transform.inverse().matrix)
    # Pixel i covers [i, i + 1): its centre lies half a pixel on.
    offset = back[:2, :2] @ (0.5, 0.5) + back[:2, 2] - 0.5
    source = rgb if scale >= 1 else ndimage.gaussian_filter(rgb, (0.4 / scale, 0.4 / scale, 0))
    layers = [
        ndimage.affine_transform(
            source[..., c].astype(np.float32),
            back[:2, :2][::-1, ::-1],
            offset[::-1],
            output_shape=(size[1], size[0]),
            order=1,
            cval=250.0,
        )
        for c in range(3)
    ]
    return np.clip(np.rint(np.stack(layers, axis=-1)), 0, 255).astype(np.uint8), transform

"""Position, size and shape of labelled nuclei."""

from __future__ import annotations

import numpy as np


def measure(labels: np.ndarray, stain: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
    """Measure labelled nuclei, in pixels of the window.

    Parameters
    ----------
    labels
        int (h, w): 0 between nuclei, i + 1 on nucleus i; each has a pixel.
    stain
        float32 (h, w): haematoxylin.
    seeds
        int64 (n, 2): (row, column) of a pixel of each, from which offsets are counted: whole numbers, so that a
        nucleus measures the same to the last bit in every window.

    Returns
    -------
    dict
        float64 (n,) each: ``dx``, ``dy`` (from the corner of the seed's pixel to the centre), ``area`` (px),
        ``eccentricity`` of the ellipse with the same second moments (0 round, towards 1 long), ``haematoxylin``
        (mean).
    """
    row, column = np.nonzero(labels)
    which = labels[row, column] - 1

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(which, weights=values, minlength=len(seeds)) / area

    area = np.bincount(which, minlength=len(seeds)).astype(np.float64)
    dy, dx = row - seeds[which, 0], column - seeds[which, 1]
    y, x = mean(dy), mean(dx)
    # A pixel is a square, whose own second moment is 1/12.
    yy, xx, xy = mean(dy * dy) - y * y + 1 / 12, mean(dx * dx) - x * x + 1 / 12, mean(dx * dy) - x * y
    half, apart = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return {
        "dx": x + 0.5,
        "dy": y + 0.5,
        "area": area,
        "eccentricity": np.sqrt(np.clip(2 * apart / (half + apart), 0, 1)),
        "haematoxylin": mean(stain[row, column].astype(np.float64)),
    }

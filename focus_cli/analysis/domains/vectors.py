"""What domains look at: each piece of tissue at every width that the embedding was made with.

A location as wide as a kernel is a mean over that piece of tissue already: a Visium spot (55 µm) holds a handful of
cells. A kernel of 50 µm around it would take nearly half of its weight from the six spots around it, 100 µm away, and
blur what one spot resolves. There the location stands for itself. A cell or a fine bin does not: one cell's state is
its type, not the tissue that it is part of.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def tissue_vectors(
    location: np.ndarray, neighbourhood: np.ndarray, widths_um: Sequence[float], footprint_um: float
) -> np.ndarray:
    """Neighbourhoods, with the location itself in place of kernels that are no wider than it.

    Parameters
    ----------
    location
        float32 (n, D).
    neighbourhood
        float32 (n, widths · D), one block for each width.
    widths_um
        Standard deviations of the kernels.
    footprint_um
        Width of a location.

    Returns
    -------
    np.ndarray
        float32 (n, widths · D): the same columns on every platform, so samples of several can be pooled.

    Raises
    ------
    ValueError
        If the blocks do not fit.
    """
    if neighbourhood.shape != (len(location), len(widths_um) * location.shape[1]):
        raise ValueError(f"{neighbourhood.shape} is not {len(widths_um)} blocks of {location.shape}")
    blocks = np.split(neighbourhood, len(widths_um), axis=1)
    return np.concatenate(
        [location if width <= footprint_um else block for width, block in zip(widths_um, blocks)], axis=1
    )

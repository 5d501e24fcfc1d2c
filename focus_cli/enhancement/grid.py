"""The grid of a refined file."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from focus_cli.conditioning import SampleData
from focus_cli.errors import UsageError


def refined_grid(data: SampleData, resolution_um: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Centres of square cells of `resolution_um` on the tissue between the locations.

    Returns
    -------
    xy_um
        Cells × 2.
    names
        ``r0001_c0001``, rows and columns of the grid.
    parent
        Row of the nearest location of each cell.
    area_share
        Area of a cell over the area of a location's footprint.

    Raises
    ------
    UsageError
        If the resolution is coarser than the locations, or finer than 1 µm.
    """
    footprint = data.info.footprint
    if resolution_um > footprint.pitch_um or resolution_um < 1:
        raise UsageError(
            f"--resolution-um {resolution_um:g}: locations are {footprint.pitch_um:g} µm apart",
            hint=f"give a value between 1 and {footprint.pitch_um:g}",
        )
    low = data.xy_um.min(axis=0) - footprint.size_um / 2
    high = data.xy_um.max(axis=0) + footprint.size_um / 2
    x = np.arange(low[0] + resolution_um / 2, high[0], resolution_um)
    y = np.arange(low[1] + resolution_um / 2, high[1], resolution_um)
    column, row = (a.ravel() for a in np.meshgrid(np.arange(len(x)), np.arange(len(y))))
    xy = np.stack([x[column], y[row]], axis=1)
    distance, parent = cKDTree(data.xy_um).query(xy)
    inside = distance <= 0.75 * footprint.pitch_um
    if data.raster is not None:
        inside &= data.raster.tissue(xy) >= 0.5
    area = np.pi / 4 * footprint.size_um**2 if footprint.shape == "circle" else footprint.size_um**2
    names = np.array([f"r{r:05d}_c{c:05d}" for r, c in zip(row[inside], column[inside])])
    return xy[inside], names, parent[inside], float(min(resolution_um**2 / area, 1.0))

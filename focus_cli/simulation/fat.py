"""Fatty tissue: cells that are little but a vacuole, packed until only thin walls are left."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from focus_cli.simulation.fields import Field
from focus_cli.simulation.tissue import CELL_TYPES, FAT, STEP_UM, Cells, Tissue

ADIPOCYTE = CELL_TYPES.index("Adipocyte")
_WALL_UM = 3.0  # between the vacuoles of neighbours
_WIDEST_UM = 30.0  # half-width of a vacuole


class Fat:
    """The vacuoles of a section: each fills the Voronoi cell of its fat cell, but for its wall."""

    def __init__(self, tissue: Tissue, cells: Cells) -> None:
        there = (tissue.domain_at(cells.xy_um) == FAT) | (cells.kind == ADIPOCYTE)
        self._xy = cells.xy_um[there]
        self._hollow = cells.kind[there] == ADIPOCYTE
        self._tree = cKDTree(self._xy)
        self._share = Field(gaussian_filter((tissue.domain == FAT).astype(np.float32), 0.8), STEP_UM)

    def press_nuclei(self, xy_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the nuclei of fat cells lie: on the wall towards the nearest neighbour, and along it.

        Parameters
        ----------
        xy_um
            float64 (n, 2): centres of fat cells.

        Returns
        -------
        xy_um
            float64 (n, 2): centres of their nuclei.
        angle
            float64 (n,): of their long axis.
        """
        if len(self._xy) < 2:
            return xy_um, np.zeros(len(xy_um))
        distance, neighbour = self._tree.query(xy_um, k=2)
        towards = self._xy[neighbour[:, 1]] - xy_um
        near = (distance[:, 1] < 2 * _WIDEST_UM)[:, None]
        return xy_um + 0.5 * towards * near, np.arctan2(towards[:, 0], -towards[:, 1])

    def empty(self, y_um: np.ndarray, x_um: np.ndarray, *amounts: np.ndarray) -> None:
        """Wash stain out of the vacuoles on a grid of rows `y_um` and columns `x_um`, in place."""
        if len(self._xy) < 2:
            return
        share = self._share.band(y_um, x_um)
        row, column = np.nonzero(share > 0.05)
        if not len(row):
            return
        distance, nearest = self._tree.query(np.stack([x_um[column], y_um[row]], axis=1), k=2)
        depth = np.minimum(distance[:, 1] - distance[:, 0] - _WALL_UM, _WIDEST_UM - distance[:, 0])
        hollow = (0.5 + 0.5 * np.tanh(depth)) * self._hollow[nearest[:, 0]]
        left = 1 - (hollow * np.clip(2 * share[row, column], 0, 1)).astype(np.float32)
        for amount in amounts:
            amount[row, column] *= left

"""A regular grid in µm that lies centred over an area, so that it turns and flips with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from focus_cli.core.errors import BadInputError, UsageError


@dataclass(frozen=True)
class Grid:
    """Square cells of one pitch.

    Attributes
    ----------
    x0, y0
        Centre of cell (0, 0), µm.
    step
        Pitch, µm.
    rows, columns
        Number of cells.
    """

    x0: float
    y0: float
    step: float
    rows: int
    columns: int

    @classmethod
    def over(cls, x0: float, y0: float, x1: float, y1: float, step: float) -> Grid:
        """Cover the box with as few cells as do; what they stick out is the same on both sides."""
        columns, rows = _cells(x1 - x0, step), _cells(y1 - y0, step)
        return cls(
            x0=(x0 + x1 - (columns - 1) * step) / 2,
            y0=(y0 + y1 - (rows - 1) * step) / 2,
            step=step,
            rows=rows,
            columns=columns,
        )

    @property
    def x(self) -> np.ndarray:
        """Centres of the columns, µm."""
        return self.x0 + self.step * np.arange(self.columns)

    @property
    def y(self) -> np.ndarray:
        """Centres of the rows, µm."""
        return self.y0 + self.step * np.arange(self.rows)

    def refined(self, factor: int) -> Grid:
        """Split every cell into `factor` × `factor`."""
        fine = self.step / factor
        shift = (fine - self.step) / 2
        return Grid(self.x0 + shift, self.y0 + shift, fine, self.rows * factor, self.columns * factor)

    def padded(self, cells: int, width_um: float, height_um: float) -> tuple[Grid, int, int]:
        """Add up to `cells` on every side, as long as their centres lie in [0, width) × [0, height).

        Returns
        -------
        Grid, int, int
            The larger grid, and the row and column at which this one begins in it.
        """
        left = _room(self.x0, self.step, cells)
        top = _room(self.y0, self.step, cells)
        right = _room(width_um - self.x[-1], self.step, cells)
        bottom = _room(height_um - self.y[-1], self.step, cells)
        larger = Grid(
            self.x0 - left * self.step,
            self.y0 - top * self.step,
            self.step,
            self.rows + top + bottom,
            self.columns + left + right,
        )
        return larger, top, left


def _cells(length: float, step: float) -> int:
    return max(1, math.ceil(length / step - 1e-9))


def _room(distance: float, step: float, most: int) -> int:
    return max(0, min(most, math.ceil(distance / step - 1e-9) - 1))


def check_bounds(
    bounds_um: tuple[float, float, float, float] | None, width_um: float, height_um: float
) -> tuple[float, float, float, float]:
    """Clip (x0, y0, x1, y1) to the image.

    Raises
    ------
    UsageError
        If the box is empty or not finite.
    BadInputError
        If it lies wholly outside the image.
    """
    if bounds_um is None:
        return 0.0, 0.0, width_um, height_um
    x0, y0, x1, y1 = (float(v) for v in bounds_um)
    if not (np.isfinite([x0, y0, x1, y1]).all() and x0 < x1 and y0 < y1):
        raise UsageError(f"bounds {bounds_um} are not a box (x0, y0, x1, y1) in µm")
    clipped = max(x0, 0.0), max(y0, 0.0), min(x1, width_um), min(y1, height_um)
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise BadInputError(
            f"the locations lie outside the image: x {x0:.0f}–{x1:.0f}, y {y0:.0f}–{y1:.0f} µm, "
            f"the image ends at {width_um:.0f} × {height_um:.0f} µm",
            hint="check --image and --mpp",
        )
    return clipped

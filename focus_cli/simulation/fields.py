"""Smooth random fields over a section: the raw material of domains, gradients and textures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True)
class Field:
    """Values on a regular grid of pitch `step_um`; cell (0, 0) is centred at half a step.

    Attributes
    ----------
    values
        float32 (rows, columns).
    step_um
        Pitch in µm.
    """

    values: np.ndarray
    step_um: float

    def at(self, xy_um: np.ndarray) -> np.ndarray:
        """Bilinear values at (x, y) in µm, clamped at the edge: float32 (n,)."""
        (r0, r1, wr), (c0, c1, wc) = self._knots(xy_um[:, 1], 0), self._knots(xy_um[:, 0], 1)
        v = self.values
        top = v[r0, c0] * (1 - wc) + v[r0, c1] * wc
        bottom = v[r1, c0] * (1 - wc) + v[r1, c1] * wc
        return (top * (1 - wr) + bottom * wr).astype(np.float32)

    def band(self, y_um: np.ndarray, x_um: np.ndarray) -> np.ndarray:
        """Bilinear values on the grid of rows `y_um` and columns `x_um`: float32 (rows, columns)."""
        (r0, r1, wr), (c0, c1, wc) = self._knots(y_um, 0), self._knots(x_um, 1)
        rows = self.values[r0] * (1 - wr)[:, None] + self.values[r1] * wr[:, None]
        return rows[:, c0] * (1 - wc) + rows[:, c1] * wc

    def _knots(self, um: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        last = self.values.shape[axis] - 1
        position = np.clip(np.asarray(um) / self.step_um - 0.5, 0, last)
        low = np.minimum(position.astype(np.int64), max(last - 1, 0))
        return low, np.minimum(low + 1, last), (position - low).astype(np.float32)


def grid_shape(size_um: float, step_um: float) -> tuple[int, int]:
    """Rows and columns of a grid that covers a square section."""
    side = int(np.ceil(size_um / step_um))
    return side, side


def smooth_field(rng: np.random.Generator, size_um: float, length_um: float, step_um: float) -> Field:
    """White noise smoothed by a Gaussian of `length_um`, standardised to mean 0 and variance 1.

    A field longer than the section would be flat: its length is capped at a quarter of the side.
    """
    noise = rng.standard_normal(grid_shape(size_um, step_um), dtype=np.float32)
    sigma = min(length_um, size_um / 4) / step_um
    values = gaussian_filter(noise, sigma, mode="reflect", truncate=3.0)
    return Field((values - values.mean()) / values.std(), step_um)

"""log1p of counts per 10,000, as measurements of a given depth read on average.

For a share r of the counts and a depth of e counts the log-normalised count log1p(10⁴ y / e) has the mean
f_e(r) = Σ_y Poisson(y; e r) · log1p(10⁴ y / e). It is not log1p(10⁴ r): the logarithm is concave, and a rare gene is
seen at some locations and missed at others, the more often the shallower the measurement. f_e is increasing in r and
tends to log1p(10⁴ r) with depth.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy import special

from focus_cli.core import keys

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")

_STEP = 1 / 32  # of the table, in log1p of the expected count; errors of the interpolation stay below 5e-4
_SUMMED_UP_TO = 60.0  # expected count above which the second-order expansion is as good as the sum


def _weights(mean: np.ndarray) -> np.ndarray:
    """Poisson probabilities, means × counts."""
    # Not by scipy.stats: its import alone takes longer than enhancing a small section.
    counts = np.arange(int(np.ceil(special.pdtrik(1 - 1e-9, max(mean.max(), 1.0)))) + 2)
    return np.exp(special.xlogy(counts, mean[:, None]) - special.gammaln(counts + 1) - mean[:, None])


class LogNormReading:
    """f_e for a block of locations, tabulated over the expected count.

    Shares are NumPy arrays or tensors, and so are the readings. PyTorch is imported for tensors alone.

    Parameters
    ----------
    depth
        Total counts e per location, float (n,); where it is 0 nothing is known of a measurement and the share itself
        is read: log1p(10⁴ r).
    """

    def __init__(self, depth: np.ndarray) -> None:
        depth = np.asarray(depth, np.float64)
        known = depth > 0
        nodes = int(np.ceil(np.log1p(depth.max(initial=1.0)) / _STEP)) + 2
        # Unknown depth is read as one so large that reading and share agree.
        depth = np.where(known, depth, 1e9)
        mean = np.expm1(_STEP * np.arange(nodes))
        scale = keys.TARGET_SUM / depth[:, None]
        table = np.log1p(scale * mean) - (scale / (1 + scale * mean)) ** 2 * mean / 2
        summed = mean <= _SUMMED_UP_TO
        weights = _weights(mean[summed])
        table[:, summed] = np.log1p(scale * np.arange(weights.shape[1])) @ weights.T
        self._nodes, self._all_known = nodes, bool(known.all())
        row = np.arange(len(depth))[:, None] * nodes
        self._arrays = (table.astype(np.float32), known[:, None], depth.astype(np.float32)[:, None], row)

    @cached_property
    def _tensors(self) -> tuple[Tensor, ...]:
        import torch

        return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in self._arrays)

    def _as(self, share: Any) -> tuple[Any, tuple[Any, ...]]:
        """The library of `share`, and the tables as its arrays."""
        if isinstance(share, np.ndarray):
            return np, self._arrays
        import torch

        return torch, self._tensors

    @property
    def depth(self) -> Tensor:
        """Total counts per location, n × 1; 0 where it is not known."""
        _, known, exposure, _ = self._tensors
        return exposure * known

    def __call__(self, share: Array) -> Array:
        """Mean readings of shares (n × genes), float32."""
        xp, (table, known, exposure, row) = self._as(share)
        place, fraction = self._locate(xp, share, exposure, row)
        low, high = xp.take(table, place), xp.take(table, place + 1)
        read = low + fraction * (high - low)
        return read if self._all_known else xp.where(known, read, xp.log1p(share * keys.TARGET_SUM))

    def with_slope(self, share: Array) -> tuple[Array, Array]:
        """Mean readings and their derivatives by the share."""
        xp, (table, known, exposure, row) = self._as(share)
        place, fraction = self._locate(xp, share, exposure, row)
        low, high = xp.take(table, place), xp.take(table, place + 1)
        rise = high - low
        read, slope = low + fraction * rise, rise / _STEP * exposure / (1 + share * exposure)
        if self._all_known:
            return read, slope
        scaled = share * keys.TARGET_SUM
        plain_slope = keys.TARGET_SUM / (1 + scaled)
        return xp.where(known, read, xp.log1p(scaled)), xp.where(known, slope, plain_slope)

    def _locate(self, xp: Any, share: Any, exposure: Any, row: Any) -> tuple[Any, Any]:
        """Row of the flat table below each share, and the way from it to the next."""
        place = xp.log1p(share * exposure)
        place /= _STEP
        place = xp.clip(place, None, self._nodes - 2 + 0.999)
        floor = xp.floor(place)
        return row + xp.asarray(floor, dtype=xp.int64), place - floor

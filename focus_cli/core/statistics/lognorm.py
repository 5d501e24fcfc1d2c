"""log1p of counts per 10,000, as measurements of a given depth read on average.

For a share r of the molecules and a depth of e molecules the log-normalised count log1p(10⁴ y / e) has the mean
f_e(r) = Σ_y Poisson(y; e r) · log1p(10⁴ y / e). It is not log1p(10⁴ r): the logarithm is concave, and a rare gene is
seen at some locations and missed at others, the more often the shallower the measurement. f_e is increasing in r and
tends to log1p(10⁴ r) with depth.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import special
from torch import Tensor

from focus_cli.core import keys

_STEP = 1 / 32  # of the table, in log1p of the expected count; errors of the interpolation stay below 5e-4
_SUMMED_UP_TO = 60.0  # expected count above which the second-order expansion is as good as the sum


def _weights(mean: np.ndarray) -> np.ndarray:
    """Poisson probabilities, means × counts."""
    # Not by scipy.stats: its import alone takes longer than enhancing a small section.
    counts = np.arange(int(np.ceil(special.pdtrik(1 - 1e-9, max(mean.max(), 1.0)))) + 2)
    return np.exp(special.xlogy(counts, mean[:, None]) - special.gammaln(counts + 1) - mean[:, None])


class LogNormReading:
    """f_e for a block of locations, tabulated over the expected count.

    Parameters
    ----------
    depth
        Molecules e per location, float (n,); where it is 0 nothing is known of a measurement and the share itself
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
        self._nodes = nodes
        self._table = torch.from_numpy(np.ascontiguousarray(table, np.float32))
        self._known, self._all_known = torch.from_numpy(known)[:, None], bool(known.all())
        self._exposure = torch.from_numpy(depth.astype(np.float32))[:, None]
        self._row = torch.arange(len(depth))[:, None] * nodes

    @property
    def depth(self) -> Tensor:
        """Molecules per location, n × 1; 0 where it is not known."""
        return torch.where(self._known, self._exposure, 0.0)

    def __call__(self, share: Tensor) -> Tensor:
        """Mean readings of shares (n × genes), float32."""
        place, fraction = self._locate(share)
        low, high = torch.take(self._table, place), torch.take(self._table, place + 1)
        read = low + fraction * (high - low)
        return read if self._all_known else torch.where(self._known, read, torch.log1p(share * keys.TARGET_SUM))

    def with_slope(self, share: Tensor) -> tuple[Tensor, Tensor]:
        """Mean readings and their derivatives by the share."""
        place, fraction = self._locate(share)
        low, high = torch.take(self._table, place), torch.take(self._table, place + 1)
        rise = high - low
        read, slope = low + fraction * rise, rise / _STEP * self._exposure / (1 + share * self._exposure)
        if self._all_known:
            return read, slope
        scaled = share * keys.TARGET_SUM
        plain_slope = keys.TARGET_SUM / (1 + scaled)
        return torch.where(self._known, read, torch.log1p(scaled)), torch.where(self._known, slope, plain_slope)

    def _locate(self, share: Tensor) -> tuple[Tensor, Tensor]:
        place = torch.log1p(share * self._exposure).div_(_STEP).clamp_(max=self._nodes - 2 + 0.999)
        floor = place.floor()
        return self._row + floor.long(), place - floor

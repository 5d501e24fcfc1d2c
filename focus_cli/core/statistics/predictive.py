r"""The distribution of a count whose expected share is itself not known exactly.

A share has a mean :math:`s` and a standard deviation :math:`\sigma`, and is taken for gamma distributed, with the shape
:math:`r = s^2 / \sigma^2`. A count at a depth of :math:`E` is then negative binomial, with the mean
:math:`\mu = E s` and the variance :math:`\mu + E^2 \sigma^2`; a Poisson where :math:`\sigma` vanishes. The level of a
gene that was never measured adds a factor common to all locations: log-normal, with the median 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.special import betaincc, betaln, ndtri, pdtr, xlogy

POISSON_SHAPE = 1e8  # from this shape on a negative binomial is taken for a Poisson
_LARGE_SHAPE = 1e4  # from this shape on the logarithm of a beta function loses digits
_LEVELS = 64  # equally probable levels that stand for a log-normal one
_LEVEL_NODES = ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS)
_BLOCK = 1 << 15


@dataclass(frozen=True)
class PredictedCounts:
    """Counts that were found beside what was predicted for them, all (n,).

    Attributes
    ----------
    count
        Counts found.
    mean
        Counts expected, above 0.
    shape
        Of the gamma distribution of the share; inf where the share is known exactly.
    level_sd
        Standard deviation of the log of the gene's level.
    """

    count: np.ndarray
    mean: np.ndarray
    shape: np.ndarray
    level_sd: np.ndarray

    @classmethod
    def from_shares(cls, count, exposure, share, sd, level_sd=0.0) -> PredictedCounts:
        """Of shares and their standard deviations, broadcast to the shape of `count` and flattened."""
        share = np.maximum(np.asarray(share, np.float64), 1e-12)
        shape = np.clip((share / np.maximum(sd, 1e-12 * share)) ** 2, 1e-6, None)
        parts = (count, np.maximum(exposure * share, 1e-12), shape, level_sd)
        return cls(*(np.broadcast_to(part, np.shape(count)).ravel().astype(np.float64) for part in parts))

    def __len__(self) -> int:
        return len(self.count)

    def take(self, which: np.ndarray) -> PredictedCounts:
        """Some of the pairs."""
        return PredictedCounts(*(getattr(self, field.name)[which] for field in fields(self)))

    def poisson(self) -> PredictedCounts:
        """The same means, as if they were known exactly."""
        return replace(self, shape=np.full(len(self), np.inf), level_sd=np.zeros(len(self)))

    def widened(self, factor: float) -> PredictedCounts:
        """With the standard deviations of shares and of levels times a factor."""
        return replace(self, shape=self.shape / factor**2, level_sd=self.level_sd * factor)

    def cumulative(self, count: np.ndarray) -> np.ndarray:
        """P(Y ≤ count) for one count a pair, (n,); 0 below 0."""
        return self._over_levels(negative_binomial_cdf, count)

    def _over_levels(self, probability: Callable[..., np.ndarray], count: np.ndarray) -> np.ndarray:
        """Mean over the levels of a gene of a probability of `count`, given mean and shape."""
        out = np.zeros(len(self))
        blurred = self.level_sd > 0
        sharp = np.flatnonzero(~blurred)
        out[sharp] = probability(count[sharp], self.mean[sharp], self.shape[sharp])
        for at in np.array_split(np.flatnonzero(blurred), -(-int(blurred.sum()) // _BLOCK) or 1):
            mean = self.mean[at, None] * np.exp(self.level_sd[at, None] * _LEVEL_NODES)
            out[at] = probability(count[at, None], mean, self.shape[at, None]).mean(axis=1)
        return out

    def pit(self, uniform: np.ndarray) -> np.ndarray:
        """Randomised probability integral transform F(y − 1) + v P(y), `uniform` v in 0..1.

        Uniform where the predictions are right (Czado, Gneiting & Held 2009, doi:10.1111/j.1541-0420.2009.01191.x).
        """
        return self.cumulative(self.count - 1) + uniform * self._over_levels(negative_binomial_mass, self.count)


def negative_binomial_cdf(count: np.ndarray, mean: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """P(Y ≤ count) of negative binomials with these means (above 0) and shapes, broadcast; 0 below 0."""
    count, mean, shape = np.broadcast_arrays(count, mean, shape)
    out = np.zeros(count.shape)
    valid, exact = count >= 0, shape >= POISSON_SHAPE
    at = valid & exact
    out[at] = pdtr(count[at], mean[at])
    # Most counts of most genes are 0, and their probability needs no beta function.
    at = valid & ~exact & (count == 0)
    out[at] = np.exp(-shape[at] * np.log1p(mean[at] / shape[at]))
    at = valid & ~exact & (count != 0)
    out[at] = betaincc(count[at] + 1, shape[at], mean[at] / (mean[at] + shape[at]))
    return out


def negative_binomial_mass(count: np.ndarray, mean: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """P(Y = count) of negative binomials with these means (above 0) and shapes, broadcast; `count` is whole, ≥ 0."""
    count, mean, shape = np.broadcast_arrays(count, mean, shape)
    out, large = np.empty(count.shape), shape >= _LARGE_SHAPE
    y, m, r = count[large], mean[large], shape[large]
    out[large] = negative_binomial_cdf(y, m, r) - negative_binomial_cdf(y - 1, m, r)
    y, m, r = count[~large], mean[~large], shape[~large]
    ways = np.where(y > 0, -np.log(np.maximum(y, 1)) - betaln(np.maximum(y, 1), r), 0.0)
    out[~large] = np.exp(ways - xlogy(y, 1 + r / m) - r * np.log1p(m / r))
    return out


def central_coverage(pit: np.ndarray, level: float) -> float:
    """Share of transforms within the central interval of `level`; NaN of none."""
    return float((np.abs(2 * pit - 1) <= level).mean()) if len(pit) else float("nan")

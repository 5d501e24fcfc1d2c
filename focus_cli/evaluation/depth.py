"""What a measurement of given depth would read on log1p CP10k, for an estimate of expression itself.

log1p of counts per 10,000 is not a measure of expression alone: at a share r and a depth of e molecules its mean is
Σ_y Poisson(y; e r) · log1p(10⁴ y / e), which for rare genes rises with e. Truth made of counts carries this depth
effect, and methods that regress on log-normalised counts learn it; an estimate of expression does not have it. Both
are scored: the estimate as it is, and what it says that a measurement would read; and beside them the gene mean read
at the same depth, which shows how much of a score is depth alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from focus_cli import keys

_MAX_COUNT = 40
_LARGE = 20.0  # above this mean the logarithm is as good as linear over the Poisson's width


def expected_log1p(share: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Mean of log1p(10⁴ y / depth) for y ~ Poisson(depth · share).

    Parameters
    ----------
    share
        Expected share of the molecules, locations × genes.
    depth
        Molecules per location; where it is 0 the share itself is read.

    Returns
    -------
    float32, locations × genes.
    """
    plain = np.log1p(keys.TARGET_SUM * share)
    mean = share * depth[:, None]
    deep = np.maximum(depth, 1e-9)[:, None]
    probability = np.exp(-mean)
    total = np.zeros_like(mean)
    for count in range(1, _MAX_COUNT + 1):
        probability = probability * mean / count
        total += probability * np.log1p(keys.TARGET_SUM * count / deep)
    use = (mean <= _LARGE) & (depth[:, None] > 0)
    return np.where(use, total, plain).astype(np.float32)


def read_at_depth(
    columns: Callable[[np.ndarray], np.ndarray], depth: np.ndarray, *, flat: bool = False
) -> Callable[[np.ndarray], np.ndarray]:
    """Turn columns of log1p CP10k into what a measurement of `depth` would read.

    With `flat`, every location gets the gene's mean share, so that only the depth differs.
    """

    def read(genes: np.ndarray) -> np.ndarray:
        share = np.expm1(columns(genes).astype(np.float64)) / keys.TARGET_SUM
        if flat:
            share = np.broadcast_to(share.mean(axis=0), share.shape)
        return expected_log1p(share, depth)

    return read

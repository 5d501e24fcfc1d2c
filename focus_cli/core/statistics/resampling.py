"""The bootstrap: how often each block, or donor, is drawn, and the interval of what comes of it."""

from __future__ import annotations

import numpy as np

N_RESAMPLES = 1000


def block_draws(n_blocks: int, seed: int, n: int = N_RESAMPLES) -> np.ndarray:
    """How often each block is drawn in each resample, float64 (n, n_blocks); every row sums to n_blocks."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), size=n).astype(np.float64)


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the resampled values; NaN where fewer than two of them are defined."""
    values = draws[np.isfinite(draws)]
    if len(values) < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)

"""Blocks of tissue: the folds of a cross-validation, and the bootstrap with the interval of what comes of it."""

from __future__ import annotations

import numpy as np

N_RESAMPLES = 1000
FOLDS = 5
_SIDE = 4  # blocks along each axis of a section


def block_draws(n_blocks: int, seed: int, n: int = N_RESAMPLES) -> np.ndarray:
    """How often each block is drawn in each resample, float64 (n, n_blocks); every row sums to n_blocks."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), size=n).astype(np.float64)


def tissue_folds(xy_um: np.ndarray, offset: int = 0) -> np.ndarray:
    """Fold of each location (n × 2, µm), int (n,), one of `FOLDS`.

    Folds are blocks of tissue, so that neighbours are rarely parted; `offset` differs between sections.
    """
    low, high = xy_um.min(axis=0), xy_um.max(axis=0)
    cell = np.minimum((_SIDE * (xy_um - low) / np.maximum(high - low, 1e-9)).astype(int), _SIDE - 1)
    # Steps of 1 and 2 put neighbouring blocks into different folds, each fold all over the tissue.
    return (cell[:, 0] + 2 * cell[:, 1] + offset) % FOLDS


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the resampled values; NaN where fewer than two of them are defined."""
    values = draws[np.isfinite(draws)]
    if len(values) < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)

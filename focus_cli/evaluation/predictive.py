r"""Calibration of an estimate, measured on counts through the distribution that it predicts for them.

A count at total :math:`E` and share :math:`s \pm \sigma` is negative binomial
(`focus_cli.core.statistics.predictive`). Coverage of central intervals is computed from the randomised probability
integral transform, so an interval of 80 % must contain 80 % of the counts, however small they are.

For expected counts far below one this is hardly informative, because counting noise dominates whatever :math:`\sigma`
is. Coverage is therefore given by expected count, together with that of a Poisson distribution of the same mean. The
ratio
:math:`\sqrt{\sum w ((y-\mu)^2 - y) / \sum w E^2 \sigma^2}` is the true over the stated error of the shares:
:math:`(y-\mu)^2 - y` has the expectation :math:`(\lambda-\mu)^2` for a Poisson count of any mean :math:`\lambda`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import gammaincinv, ndtri

from focus_cli.core import keys
from focus_cli.core.random import stream
from focus_cli.core.statistics.predictive import POISSON_SHAPE, PredictedCounts, central_coverage
from focus_cli.evaluation.normalise import column_chunks
from focus_cli.evaluation.stated import StatedShares
from focus_cli.evaluation.truth import Truth

LEVELS = (0.5, 0.8, 0.95)
MAX_PAIRS = 200_000  # (location, gene) pairs, drawn by the seed where there are more
MAX_CRPS_PAIRS = 20_000  # of those, drawn by the seed
STRATA = {"below 0.1": (0.0, 0.1), "0.1 to 1": (0.1, 1.0), "1 to 5": (1.0, 5.0), "5 or more": (5.0, np.inf)}
_TAIL = 1e-6  # probability beyond which a sum over counts ends
_CELLS = 1 << 21  # (pair, count) cells of a block of such a sum
_DRAWS = 256  # of a count whose level is not known
_DRAW_BLOCK = 1024

_HELD = tuple(f"coverage_{round(100 * level)}" for level in LEVELS)
# Columns that this adds to the table of scores, and those of its own table.
COLUMNS = (*_HELD, *(f"{name}_abundant" for name in _HELD), "width_95", "error_ratio", "crps", "crps_poisson")
STRATA_COLUMNS = (
    *("genes", "expected_count", "n_pairs"),
    *_HELD,
    *(f"{name}_poisson" for name in _HELD),
    "error_ratio",
)


def draw_pairs(truth: Truth, stated: StatedShares, genes: np.ndarray, seed: int) -> tuple[PredictedCounts, np.ndarray]:
    """Pair predicted and observed counts.

    Parameters
    ----------
    truth
        Truth of kind ``counts``, with the total of each location as its exposure.
    stated
        Predicted shares and their errors.
    genes
        Positions among the scored genes; at most `MAX_PAIRS` of their pairs are drawn.

    Returns
    -------
    pairs, exposure
        The totals of the locations are returned with them.
    """
    size = truth.n * len(genes)
    drawn = np.arange(size)
    if size > MAX_PAIRS:
        drawn = np.sort(stream(seed, "evaluate/pairs").choice(size, MAX_PAIRS, replace=False))
    column, row = np.divmod(drawn, truth.n)
    exposure = truth.exposure[row]
    count, s, sd = (np.empty(len(drawn)) for _ in range(3))
    for chunk in column_chunks(truth.n, len(genes)):
        here = slice(*np.searchsorted(column, (chunk[0], chunk[-1] + 1)))
        at = row[here], column[here] - chunk[0]
        s[here], sd[here] = stated.share(genes[chunk])[at], stated.sd(genes[chunk])[at]
        count[here] = truth.counts[:, genes[chunk]].toarray()[at]
    return PredictedCounts.from_shares(count, exposure, s, sd, stated.level_sd[genes[column]]), exposure


def describe(
    pairs: PredictedCounts, exposure: np.ndarray, seed: int
) -> tuple[dict[str, float], list[dict[str, float | int | str]]]:
    """Calibration of drawn pairs.

    Returns
    -------
    row
        What goes into the table of scores.
    strata
        Coverage by the size of the expected count, a row each, the first over all.
    """
    rng = stream(seed, "evaluate/coverage")
    uniform = rng.random(len(pairs))
    pit, certain = pairs.pit(uniform), pairs.poisson().pit(uniform)

    def stratum(name: str, among: np.ndarray) -> dict[str, float | int | str]:
        held = {column: central_coverage(pit[among], level) for column, level in zip(_HELD, LEVELS)}
        alone = {f"{column}_poisson": central_coverage(certain[among], level) for column, level in zip(_HELD, LEVELS)}
        ratio = error_ratio(pairs.take(np.flatnonzero(among)))
        return {"expected_count": name, "n_pairs": int(among.sum()), **held, **alone, "error_ratio": ratio}

    strata = [stratum("all", np.ones(len(pit), bool))]
    strata += [stratum(name, (pairs.mean >= low) & (pairs.mean < high)) for name, (low, high) in STRATA.items()]
    few = pairs
    if len(pairs) > MAX_CRPS_PAIRS:
        few = pairs.take(np.sort(rng.choice(len(pairs), MAX_CRPS_PAIRS, replace=False)))
    row = {
        **{column: strata[0][column] for column in _HELD},
        **{f"{column}_abundant": strata[-1][column] for column in _HELD},
        "width_95": float(interval_width(pairs, exposure, 0.95).mean()),
        "error_ratio": strata[0]["error_ratio"],
        "crps": float(crps(few, seed).mean()),
        "crps_poisson": float(crps(few.poisson(), seed).mean()),
    }
    return row, strata


def error_ratio(pairs: PredictedCounts) -> float:
    """Root of the true squared error of shares over the stated one: 1 is calibrated, above 1 overconfident.

    Pairs are weighed by the inverse of the variance of their count. Noise of counting is taken out, so the ratio may
    are 0 where hardly any error is visible, and NaN where none is stated.
    """
    stated = pairs.mean**2 * (1 / pairs.shape + pairs.level_sd**2)
    weight = 1 / (pairs.mean + stated)
    found = float(np.sum(weight * ((pairs.count - pairs.mean) ** 2 - pairs.count)))
    total = float(np.sum(weight * stated))
    return float(np.sqrt(max(found, 0) / total)) if total > 0 else float("nan")


def interval_width(pairs: PredictedCounts, exposure: np.ndarray, level: float) -> np.ndarray:
    """Width of the central interval of the share, in counts per 10,000: noise of counting is no part of it.

    Where the level is not known, of a log-normal share with both variances.
    """
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    share = keys.TARGET_SUM * pairs.mean / exposure
    shape = np.minimum(pairs.shape, POISSON_SHAPE)
    low, high = (gammaincinv(shape, q) / shape for q in tails)
    blurred = np.flatnonzero(pairs.level_sd > 0)
    variance = np.log1p(1 / shape[blurred])
    z = ndtri(tails)[:, None] * np.sqrt(variance + pairs.level_sd[blurred] ** 2)
    low[blurred], high[blurred] = np.exp(z - variance / 2)
    return share * (high - low)


def crps(pairs: PredictedCounts, seed: int) -> np.ndarray:
    """Continuous ranked probability score of each pair, in counts; lower is better.

    Σ_k (F(k) − 1{y ≤ k})², summed up to a count beyond which less than 1e-6 is expected; where the level is not known,
    E|X − y| − ½ E|X − X′| over 256 draws.
    """
    out = np.zeros(len(pairs))
    blurred = pairs.level_sd > 0
    sharp, blurred = np.flatnonzero(~blurred), np.flatnonzero(blurred)
    out[sharp] = _summed(pairs.take(sharp))
    rng = stream(seed, "evaluate/crps")
    for start in range(0, len(blurred), _DRAW_BLOCK):
        at = blurred[start : start + _DRAW_BLOCK]
        out[at] = _drawn(pairs.take(at), rng)
    return out


def _summed(pairs: PredictedCounts) -> np.ndarray:
    spread = np.sqrt(pairs.mean + pairs.mean**2 / pairs.shape)
    last = np.ceil(np.maximum(pairs.count, pairs.mean + 8 * spread)) + 8
    while (short := 1 - pairs.cumulative(last) > _TAIL).any():
        last[short] *= 2
    out = np.zeros(len(pairs))
    for block in _blocks(last):
        k = np.arange(last[block].max() + 1)[None]
        mean, shape = pairs.mean[block, None], np.minimum(pairs.shape[block, None], POISSON_SHAPE)
        # From one count to the next the probability changes by the factor μ (k + r) / ((k + 1) (μ + r)).
        step = np.log1p((k - mean) / (mean + shape)) + np.log(mean) - np.log(k + 1)
        log_p = np.cumsum(step, axis=1) - step - shape * np.log1p(mean / shape)
        cdf = np.cumsum(np.exp(log_p), axis=1)
        out[block] = ((cdf - (pairs.count[block, None] <= k)) ** 2).sum(axis=1)
    return out


def _blocks(last: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of like length together, so that a block holds few cells for nothing."""
    order = np.argsort(last, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * (last[order[stop]] + 1) <= _CELLS:
            stop += 1
        yield order[start:stop]
        start = stop


def _drawn(pairs: PredictedCounts, rng: np.random.Generator) -> np.ndarray:
    size = (len(pairs), _DRAWS)
    level = np.exp(pairs.level_sd[:, None] * rng.standard_normal(size))
    shape = np.minimum(pairs.shape, POISSON_SHAPE)[:, None]
    rate = pairs.mean[:, None] * level * rng.standard_gamma(np.broadcast_to(shape, size)) / shape
    draws = np.sort(rng.poisson(rate), axis=1).astype(np.float64)
    # E|X − X′| of sorted draws, without counting a draw against itself.
    rank = 2 * np.arange(_DRAWS) - _DRAWS + 1
    spread = 2 * (draws @ rank) / (_DRAWS * (_DRAWS - 1))
    return np.abs(draws - pairs.count[:, None]).mean(axis=1) - spread / 2

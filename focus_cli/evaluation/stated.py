"""Shares, errors and intervals stated by an enhanced file, and values at a given depth.

The mean of log1p of counts per 10,000 does not measure expression alone: for a rare gene it rises with the total counts
of the location (see `focus_cli.core.statistics.lognorm`). A truth made of counts has this effect, and so have X of an
enhanced file, which is stated at the depth of the location, and methods that regress on log-normalised counts. They are
therefore scored together with the gene mean at the same depth, which contains depth alone, and with the expression
without the depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from focus_cli.core import keys
from focus_cli.core.statistics.lognorm import LogNormReading
from focus_cli.evaluation.matching import Match
from focus_cli.evaluation.normalise import column_chunks
from focus_cli.evaluation.prediction import GatheredColumns
from focus_cli.evaluation.reading import EstimateFile

Columns = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class StatedShares:
    """Shares of the total counts and their standard deviations: positions among the scored genes → (n, len).

    `level_sd` (G) is the error of each gene's level, which is no part of `sd`.
    """

    share: Columns
    sd: Columns
    level_sd: np.ndarray


def stated_shares(
    file: EstimateFile, match: Match, columns: np.ndarray, expression: Columns, depth: np.ndarray, scratch: Path
) -> StatedShares | None:
    """Shares and errors without the effect of depth; None if the file states no error or is finer than the truth.

    Parameters
    ----------
    columns
        Position of each scored gene in the file, or −1.
    expression
        log1p of 10⁴ times the share.
    depth
        Total counts at which the file states its layers, (n,).
    """
    if keys.STD not in file.layers or not match.one_to_one:
        return None
    std = GatheredColumns(file, keys.STD, match, columns, "linear", scratch)
    reading = LogNormReading(depth)
    level_sd = np.zeros(len(columns))
    if keys.LEVEL_SD in file.var:
        held = columns >= 0
        level_sd[held] = file.var[keys.LEVEL_SD].to_numpy(np.float64)[columns[held]]

    def share(genes: np.ndarray) -> np.ndarray:
        return np.expm1(expression(genes).astype(np.float64)) / keys.TARGET_SUM

    def sd(genes: np.ndarray) -> np.ndarray:
        s = share(genes)
        slope = reading.with_slope(s.astype(np.float32))[1]
        both = std(genes) / np.maximum(slope, 1e-9)
        return np.sqrt(np.maximum(both**2 - (s * level_sd[genes]) ** 2, 0))

    return StatedShares(share, sd, level_sd)


def read_at_depth(expression: Columns, depth: np.ndarray, *, flat: bool = False) -> Columns:
    """Turn columns of expression (log1p of 10⁴ times the share) into the mean of measurements at `depth`.

    With `flat`, every location gets the gene's mean share, so that only the depth differs.
    """
    reading = LogNormReading(depth)

    def read(genes: np.ndarray) -> np.ndarray:
        share = np.expm1(expression(genes)) / keys.TARGET_SUM
        if flat:
            share = np.broadcast_to(share.mean(axis=0), share.shape)
        return reading(np.ascontiguousarray(share, np.float32))

    return read


def coverage(n: int, truth: Columns, interval: tuple[Columns, Columns], genes: np.ndarray) -> tuple[float, float]:
    """Share of (location, gene) pairs whose truth lies within the interval, and the interval's mean width.

    Parameters
    ----------
    n
        Number of locations.
    truth, interval
        Positions among the scored genes → the truth without noise, and the interval's ends, on one scale, (n, len).
    genes
        Positions among the scored genes.
    """
    inside, width = 0, 0.0
    for chunk in column_chunks(n, len(genes)):
        here = genes[chunk]
        values, bottom, top = truth(here), interval[0](here), interval[1](here)
        inside += int(((bottom <= values) & (values <= top)).sum())
        width += float((top - bottom).sum(dtype=np.float64))
    pairs = n * len(genes)
    return inside / pairs, width / pairs

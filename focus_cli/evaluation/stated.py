"""What an enhanced file states of shares: read back from its layers, which are on another scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from focus_cli.core import keys
from focus_cli.core.statistics.lognorm import LogNormReading
from focus_cli.evaluation.matching import Match
from focus_cli.evaluation.prediction import GatheredColumns
from focus_cli.evaluation.reading import EstimateFile

Columns = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class StatedShares:
    """Shares of the molecules and their standard deviations: positions among the scored genes → (n, len).

    `level_sd` (G) is the error of each gene's level, which is no part of `sd`.
    """

    share: Columns
    sd: Columns
    level_sd: np.ndarray


def stated_shares(
    file: EstimateFile, match: Match, columns: np.ndarray, expression: Columns, depth: np.ndarray, scratch: Path
) -> StatedShares | None:
    """Undo the reading at a depth; None where the file does not say how far it is off, or is finer than the truth.

    Parameters
    ----------
    columns
        Position of each scored gene in the file, or −1.
    expression
        log1p of 10⁴ times the share.
    depth
        Molecules at which the file states its layers, (n,).
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
        slope = reading.with_slope(torch.from_numpy(s.astype(np.float32)))[1].numpy()
        both = std(genes) / np.maximum(slope, 1e-9)
        return np.sqrt(np.maximum(both**2 - (s * level_sd[genes]) ** 2, 0))

    return StatedShares(share, sd, level_sd)

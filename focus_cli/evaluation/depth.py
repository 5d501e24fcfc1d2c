"""Depth in a truth that is made of counts: how much of a score it is, and how to take it out.

log1p of counts per 10,000 is not a measure of expression alone: for a rare gene its mean rises with the number of
molecules that the location happens to hold (see `focus_cli.core.statistics.lognorm`). Truth made of counts carries
this effect; so does X of an enhanced file, which states what a measurement at the location's depth would give, and so
do methods that regress on log-normalised counts. Beside them are scored the gene mean read at the same depth, which is
depth alone, and the expression itself with the depth taken out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from focus_cli.core import keys
from focus_cli.core.statistics.lognorm import LogNormReading

Columns = Callable[[np.ndarray], np.ndarray]


def read_at_depth(expression: Columns, depth: np.ndarray, *, flat: bool = False) -> Columns:
    """Turn columns of expression (log1p of 10⁴ times the share) into what measurements of `depth` read on average.

    With `flat`, every location gets the gene's mean share, so that only the depth differs.
    """
    reading = LogNormReading(depth)

    def read(genes: np.ndarray) -> np.ndarray:
        share = np.expm1(expression(genes)) / keys.TARGET_SUM
        if flat:
            share = np.broadcast_to(share.mean(axis=0), share.shape)
        return reading(torch.from_numpy(np.ascontiguousarray(share, np.float32))).numpy()

    return read

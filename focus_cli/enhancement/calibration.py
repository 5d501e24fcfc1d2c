"""Factors that correct the coverage of intervals, fitted by hold-out calibration on the counts of the sample.

The spirit is that of split conformal prediction (Vovk, Gammerman & Shafer 2005; Romano, Patterson & Candès 2019,
arXiv:1905.03222): how far off the estimate is on hidden counts sets the width where there are no counts. It
holds as far as the two are exchangeable. Counts are: those hidden were drawn at random. Positions are as long
as the query lies among the measured locations and is as large as they are. Genes are only if those outside the
panel are like those on it, which no sample can show.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from focus_cli.core.statistics.predictive import PredictedCounts, central_coverage
from focus_cli.enhancement.holdout_calibration import HoldoutCalibration
from focus_cli.enhancement.reliability import LearntReliability, learn_reliability

LEVELS = (0.5, 0.8, 0.95)
PAIRS = 10_000  # that are most informative: those with the largest expected counts
# Counts and positions are calibrated on the most abundant genes, which are known best: the factor may only widen.
WIDEN = (1.0, 4.0)
EITHER = (0.5, 4.0)
TOLERANCE = 0.01  # of coverage, on average over the levels
ERROR = 1 / 3  # standard deviation of that average for one pair
PRECISION = 2e-3  # of the factor's logarithm


@dataclass(frozen=True)
class Factor:
    """What standard deviations are multiplied with, and what it rests on.

    `coverage` holds, for each level of `LEVELS`, the share of hidden counts inside the central interval: before, after.
    """

    value: float = 1.0
    n_pairs: int = 0
    n_genes: int = 0
    coverage: dict | None = None
    why: str = "not fitted"


@dataclass(frozen=True)
class Calibration:
    """What hold-out calibration gives.

    Factors of the sd of shares: of measured genes where there are counts (`counts`) and where there are none
    (`positions`), of other genes' pattern (`genes`); that of the sd of other genes' `levels`; and the `reliability` of
    other genes, None where they could not be judged.
    """

    counts: Factor = Factor()
    positions: Factor = Factor()
    genes: Factor = Factor()
    levels: Factor = Factor()
    reliability: LearntReliability | None = None

    def of_shares(self, counted: np.ndarray, measured: Tensor) -> Tensor:
        """Factor of each sd, rows × genes: rows with counts or without, genes of the panel or not."""
        rows = np.where(counted, self.counts.value, self.positions.value).astype(np.float32)
        return torch.where(measured[None], torch.from_numpy(rows)[:, None], self.genes.value)

    def record(self) -> dict:
        """For ``uns``, JSON-safe."""
        found = asdict(self)
        if self.reliability is not None:
            found["reliability"] = {name: values.round(4).tolist() for name, values in found["reliability"].items()}
        return found


def calibrate(holdouts: HoldoutCalibration, reference) -> Calibration:
    """Fit all factors; without a reference those of genes outside the panel stay 1."""
    counts, positions = holdouts.counts(), holdouts.positions()
    factors = {
        "counts": fit_factor(counts.pairs(), counts.count.shape[1], WIDEN, "half of the counts hidden"),
        "positions": fit_factor(
            positions.pairs(), positions.count.shape[1], WIDEN, "a quarter of the locations hidden"
        ),
    }
    estimates = holdouts.genes(reference) if reference is not None else None
    if estimates is None:
        unknown = Factor(why="no reference, or it shares too few genes with the panel")
        return Calibration(**factors, genes=unknown, levels=unknown)
    n_genes = estimates.count.shape[1]
    return Calibration(
        **factors,
        genes=fit_factor(estimates.levelled().pairs(), n_genes, EITHER, "half of the panel hidden, levels set right"),
        levels=fit_factor(estimates.totals(), n_genes, EITHER, "half of the panel hidden, totals"),
        reliability=learn_reliability(estimates),
    )


def fit_factor(pairs: PredictedCounts, n_genes: int, limits: tuple[float, float], why: str) -> Factor:
    """The factor nearest to 1, within `limits`, at which central intervals nearly hold what they promise.

    On average over `LEVELS`, within `TOLERANCE` or the error of that average. Counts that are expected to be small are
    nearly all noise of counting: only the most informative pairs are used; without information the factor
    is 1.
    """
    if len(pairs) > PAIRS:
        pairs = pairs.take(np.sort(np.argsort(-pairs.mean, kind="stable")[:PAIRS]))
    uniform = np.random.default_rng(0).random(len(pairs))

    @cache
    def coverage(factor: float) -> list[float]:
        pit = pairs.widened(factor).pit(uniform)
        return [central_coverage(pit, level) for level in LEVELS]

    def excess(factor: float) -> float:
        return float(np.mean(coverage(factor)) - np.mean(LEVELS))

    value, at_one = 1.0, excess(1.0)
    tolerance = max(TOLERANCE, ERROR / len(pairs) ** 0.5)
    if abs(at_one) > tolerance:
        # Coverage rises with the factor.
        goal = np.copysign(tolerance, at_one)
        low, high = (0.0, np.log(limits[1])) if at_one < 0 else (np.log(limits[0]), 0.0)
        while high - low > PRECISION:
            middle = (low + high) / 2
            low, high = (middle, high) if excess(np.exp(middle)) < goal else (low, middle)
        value = round(float(np.exp(high)), 4)
    held = {str(x): [round(a, 4), round(b, 4)] for x, a, b in zip(LEVELS, coverage(1.0), coverage(value))}
    return Factor(value, len(pairs), n_genes, held, why)

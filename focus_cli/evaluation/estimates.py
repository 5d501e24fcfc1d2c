"""Scores of an estimate in an AnnData file: its values, its expression without depth, its intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.evaluation import predictive
from focus_cli.evaluation.matching import Match, match_locations
from focus_cli.evaluation.prediction import GatheredColumns, Prediction
from focus_cli.evaluation.reading import EstimateFile
from focus_cli.evaluation.scoring import MethodScores, Scorer
from focus_cli.evaluation.stated import coverage, read_at_depth, stated_shares
from focus_cli.evaluation.truth import Truth

Columns = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """One layer of an open file, matched to a truth.

    Attributes
    ----------
    file
        The open file.
    method
        Name of the method in the tables.
    layer, scale
        Layer that is read, and its scale: ``"log1p"`` or ``"counts"``.
    match
        Matched locations of truth and file.
    columns
        Position of each scored gene in the file, -1 where it is missing, int64 (G,).
    scratch
        Folder for columns that do not fit into memory.
    """

    file: EstimateFile
    method: str
    layer: str
    scale: str
    match: Match
    columns: np.ndarray
    scratch: Path

    @property
    def covered(self) -> np.ndarray:
        """Whether the file holds each scored gene, bool (G,)."""
        return self.columns >= 0

    @property
    def states_mean(self) -> bool:
        """Whether the estimate is X of a FOCUS file with its mean counts."""
        return self.layer == "X" and self.file.by_focus and keys.MEAN_COUNTS in self.file.layers

    def read(self, layer: str, scale: str, exposure: np.ndarray | None = None) -> GatheredColumns:
        """Columns of a layer at the locations of the truth."""
        return GatheredColumns(self.file, layer, self.match, self.columns, scale, self.scratch, exposure)

    def depth(self) -> np.ndarray | None:
        """Counts at which the file states X at each location of the truth, float64 (n,); None if not stated."""
        stated = self.file.exposure() if self.states_mean else None
        if stated is None:
            return None
        match, n = self.match, len(self.match.truth_rows)
        total = np.bincount(match.pair_truth, stated[match.pair_file], minlength=n)
        return total / np.maximum(np.bincount(match.pair_truth, minlength=n), 1)


@dataclass(frozen=True)
class EstimateScores:
    """Scores of one file.

    Attributes
    ----------
    table
        Scores of the estimate, then of its expression without depth and of the gene means at its depth.
    extra
        Group of genes → metrics of the intervals.
    strata
        Calibration by expected count, one row per stratum.
    """

    table: list[MethodScores]
    extra: dict[str, dict[str, float]]
    strata: list[dict[str, Any]]


def find_columns(file: EstimateFile, truth: Truth) -> np.ndarray:
    """Position of each scored gene in a file, -1 where it is missing, int64 (G,).

    Raises
    ------
    BadInputError
        If the file holds none of them.
    """
    position = {gene: i for i, gene in enumerate(file.var_names)}
    columns = np.array([position.get(gene, -1) for gene in truth.genes])
    unknown = np.flatnonzero(columns < 0)
    if len(unknown):  # another tool, or the reference, may use another naming system
        from focus_cli.genes import match_genes

        found = match_genes(truth.var.iloc[unknown], file.var)
        columns[unknown] = np.where(np.isin(found, columns), -1, found)
    if (columns < 0).all():
        raise BadInputError(
            f"{file.path} holds none of the {len(columns):,} scored genes, such as {truth.genes[0]}",
            hint="hidden genes need a reference: focus enhance --reference … --genes all",
        )
    return columns


def score_estimate(estimate: Estimate, truth: Truth, scorer: Scorer) -> EstimateScores:
    """Score an estimate, its expression without depth, and its intervals."""
    depth = estimate.depth()
    expression = None if depth is None else estimate.read(keys.MEAN_COUNTS, "per_exposure")
    shares = None if expression is None else lambda genes: np.expm1(expression(genes)) / keys.TARGET_SUM
    table = [scorer.score(replace(_prediction(estimate, truth, expression), share=shares))]
    extra: dict[str, dict[str, float]] = {}
    strata: list[dict[str, Any]] = []
    if expression is not None and truth.kind == "counts":
        table.append(scorer.score(Prediction(f"{estimate.method}_expression", estimate.covered, expression)))
        flat = read_at_depth(expression, depth, flat=True)
        constant = Prediction(
            "gene_mean_at_depth", estimate.covered, flat, share=lambda genes: np.ones((truth.n, len(genes)))
        )
        table.append(scorer.score(constant))
        extra, strata = _predictive_scores(estimate, truth, expression, depth, scorer.seed)
    if truth.kind == "expected":
        extra = _interval_scores(estimate, truth, depth)
    return EstimateScores(table, extra, strata)


def score_further(path: Path, method: str, full: Truth, truth: Truth, first: Estimate, scorer: Scorer) -> MethodScores:
    """Score a further file on the locations of the first estimate.

    Parameters
    ----------
    full, truth
        The truth, and its part at the locations of `first`.

    Raises
    ------
    BadInputError
        If the file lacks one of these locations.
    """
    with EstimateFile(path) as file:
        match = match_locations(full.names, full.xy_um, file.obs_names, file.xy_um)
        if not np.isin(first.match.truth_rows, match.truth_rows).all():
            raise BadInputError(
                f"{path} does not estimate all locations of the first file", hint="score it in a separate run"
            )
        further = replace(
            first,
            file=file,
            method=method,
            layer="X",
            scale=file.looks_like("X"),
            match=match.restricted_to(first.match.truth_rows),
            columns=find_columns(file, truth),
        )
        return score_estimate(further, truth, scorer).table[0]


def _prediction(estimate: Estimate, truth: Truth, expression: Columns | None) -> Prediction:
    if expression is not None and truth.kind == "expected":
        values = expression
    else:
        # Held-out genes are no part of a size factor: counts are divided by the exposure of the measured ones.
        exposure = truth.exposure if truth.task == "impute" else None
        values = estimate.read(estimate.layer, estimate.scale, exposure)
    rate = None
    if truth.task == "denoise" and estimate.states_mean:
        mean = estimate.read(keys.MEAN_COUNTS, "linear")
        hidden_per_visible = (1 - truth.visible_fraction) / truth.visible_fraction

        def rate(genes: np.ndarray) -> np.ndarray:
            return mean(genes) * hidden_per_visible

    return Prediction(estimate.method, estimate.covered, values, rate)


def _predictive_scores(
    estimate: Estimate, truth: Truth, expression: Columns, depth: np.ndarray, seed: int
) -> tuple[dict[str, dict[str, float]], list[dict[str, Any]]]:
    """Per group of genes the metrics of the predictive distribution of counts, and their strata."""
    extra: dict[str, dict[str, float]] = {}
    strata: list[dict[str, Any]] = []
    stated = stated_shares(estimate.file, estimate.match, estimate.columns, expression, depth, estimate.scratch)
    for group, genes in truth.groups.items() if stated is not None else ():
        held = genes[estimate.covered[genes]]
        if len(held):
            drawn = predictive.draw_pairs(truth, stated, held, seed)
            extra[group], rows = predictive.describe(*drawn, seed)
            strata += [{"genes": group, **row} for row in rows]
    return extra, strata


def _interval_scores(estimate: Estimate, truth: Truth, depth: np.ndarray | None) -> dict[str, dict[str, float]]:
    """Per group of genes the coverage and width of the stated 90 % intervals, for a truth without noise."""
    bounds = [keys.quantile_layer(q) for q in (0.05, 0.95)]
    if estimate.layer != "X" or not set(bounds) <= set(estimate.file.layers):
        return {}
    low, high = (estimate.read(bound, "log1p") for bound in bounds)
    # Intervals are stated as X is: at the depth of the locations.
    known = truth.columns if depth is None else read_at_depth(truth.columns, depth)
    extra = {}
    for group, genes in truth.groups.items():
        held = genes[estimate.covered[genes]]
        if len(held):
            inside, width = coverage(truth.n, known, (low, high), held)
            extra[group] = {"coverage_90": inside, "width_90": width}
    return extra

"""Score predictions against one truth, chunk by chunk of genes, then summarise over genes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from focus_cli.core import keys
from focus_cli.core.statistics.resampling import block_draws, interval
from focus_cli.evaluation import metrics
from focus_cli.evaluation.ceiling import noise_ceiling
from focus_cli.evaluation.metrics import mean_pearson_draws
from focus_cli.evaluation.normalise import column_chunks
from focus_cli.evaluation.prediction import Prediction
from focus_cli.evaluation.space import morans_i, neighbour_weights, spatial_blocks
from focus_cli.evaluation.truth import Truth

# Ranks and gene–gene correlations are taken on at most this many locations (a seeded draw above it).
SUBSET = 20_000
_LEAST_SHARE = 1e-6  # of a location's counts: what a method that states 0 is read as
PER_GENE = ("pcc", "spearman", "rmse", "jsd", "ssim_global", "moran")


@dataclass
class MethodScores:
    """Scores of one method.

    Attributes
    ----------
    method
        Its name.
    covered
        Whether the method predicts each scored gene, bool (G,).
    per_gene
        Metric → float64 (G,), NaN where undefined.
    moments
        Sums per spatial block, of which Pearson is made: for the bootstrap.
    structure
        Group of genes → agreement of the gene–gene correlations.
    deviance
        Poisson deviance of each spatial block, float64 (blocks, G), that of the constant gene for genes that are not
        covered; None for a truth without counts.
    """

    method: str
    covered: np.ndarray
    per_gene: dict[str, np.ndarray]
    moments: metrics.Moments
    structure: dict[str, float] = field(default_factory=dict)
    deviance: np.ndarray | None = None


class Scorer:
    """Everything about a truth that does not depend on the method, computed once.

    Parameters
    ----------
    truth
        At the locations that are scored.
    seed
        Of the noise ceiling's halves, the subset for ranks, the bootstrap.
    """

    def __init__(self, truth: Truth, seed: int = 0) -> None:
        self.truth, self.seed = truth, seed
        n, n_genes = truth.n, len(truth.genes)
        rng = np.random.default_rng(seed)
        draw = rng.choice(n, SUBSET, replace=False) if n > SUBSET else np.arange(n)
        self.subset = np.sort(draw)
        self.blocks = spatial_blocks(truth.xy_um)
        self.draws = block_draws(int(self.blocks.max()) + 1, seed)
        self.weights = neighbour_weights(truth.xy_um)
        self.moran = np.full(n_genes, np.nan)
        self.largest = np.zeros(n_genes)
        self.flat = np.zeros(n_genes, dtype=bool)
        self.sampled = np.zeros((len(self.subset), n_genes), dtype=np.float32)
        for chunk in column_chunks(n, n_genes):
            values = truth.columns(chunk)
            self.moran[chunk] = morans_i(values, self.weights)
            self.largest[chunk] = values.max(axis=0)
            self.flat[chunk] = np.ptp(values, axis=0) == 0
            self.sampled[:, chunk] = values[self.subset]
        if truth.counts is not None:
            self.constant = self._constant_deviance()
            self.halves, self.ceiling = noise_ceiling(truth.counts, truth.exposure, inside=truth.inside, seed=seed)
        else:  # a simulator's expectation holds no noise
            self.halves = self.ceiling = np.ones(n_genes)

    def _constant_deviance(self) -> np.ndarray:
        """Deviance of a constant gene at the depth of each location, (blocks, G)."""
        truth = self.truth
        found = np.zeros((self.draws.shape[1], len(truth.genes)))
        for chunk in column_chunks(truth.n, len(truth.genes)):
            counts = truth.counts[:, chunk].toarray()
            flat = np.broadcast_to(truth.exposure[:, None], counts.shape)
            found[:, chunk] = metrics.poisson_deviance(counts, metrics.at_level(counts, flat), self.blocks)
        return found

    def score(self, prediction: Prediction) -> MethodScores:
        """Score one method on every scored gene that it covers."""
        truth, n_genes = self.truth, len(self.truth.genes)
        per_gene = {name: np.full(n_genes, np.nan) for name in PER_GENE}
        likelihood = self._exposure_of_hidden() is not None
        if likelihood:
            per_gene["poisson_ll"] = np.full(n_genes, np.nan)
        covered = np.flatnonzero(prediction.covered)
        deviance = None if truth.counts is None else self.constant.copy()
        if deviance is not None:
            per_gene["pearson_residuals"] = np.full(n_genes, np.nan)
        n_blocks = self.draws.shape[1]
        sums = {name: np.zeros((n_blocks, n_genes)) for name in ("x", "y", "xx", "yy", "xy")}
        size = np.bincount(self.blocks).astype(np.float64)[:, None]
        sampled = np.zeros((len(self.subset), n_genes), dtype=np.float32)
        for part in column_chunks(truth.n, len(covered)):
            genes = covered[part]
            y, x = truth.columns(genes), prediction.columns(genes)
            block = metrics.block_moments(y, x, self.blocks)
            for name, values in sums.items():
                values[:, genes] = getattr(block, name)
            total = block.total()
            per_gene["pcc"][genes] = metrics.pearson(total)
            per_gene["rmse"][genes] = metrics.rmse(total)
            per_gene["ssim_global"][genes] = metrics.ssim_global(total, self.largest[genes])
            per_gene["spearman"][genes] = metrics.spearman(y[self.subset], x[self.subset])
            # A prediction below zero is not a proportion; it is set to zero.
            per_gene["jsd"][genes] = metrics.jensen_shannon(np.expm1(y), np.expm1(np.maximum(x, 0)))
            per_gene["moran"][genes] = morans_i(x, self.weights)
            counts = None if truth.counts is None else truth.counts[:, genes].toarray()
            if likelihood:
                per_gene["poisson_ll"][genes] = self._likelihood(prediction, genes, x, counts)
            if deviance is not None:
                share = self._shares(prediction, genes, x)
                expected = metrics.at_level(counts, truth.exposure[:, None] * share)
                deviance[:, genes] = metrics.poisson_deviance(counts, expected, self.blocks)
                residuals = metrics.pearson_residual_correlation(counts, truth.exposure, share)
                per_gene["pearson_residuals"][genes] = residuals
            sampled[:, genes] = x[self.subset]
        if deviance is not None:
            per_gene["d2"] = metrics.deviance_explained(deviance.T, self.constant.T)
        moments = metrics.Moments(size, **sums)
        scores = MethodScores(prediction.method, prediction.covered, per_gene, moments, deviance=deviance)
        for group, genes in truth.groups.items():
            held = genes[prediction.covered[genes]]
            scores.structure[group] = metrics.gene_structure(self.sampled[:, held], sampled[:, held])
        return scores

    @staticmethod
    def _shares(prediction: Prediction, genes: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Shares of a location's counts; those that log1p CP10k reads as where a method states none."""
        if prediction.share is not None:
            return np.asarray(prediction.share(genes), np.float64)
        return np.expm1(np.maximum(x, 0).astype(np.float64)) / keys.TARGET_SUM + _LEAST_SHARE

    def _exposure_of_hidden(self) -> np.ndarray | None:
        """Expected counts of the hidden part of each location, from the visible part alone; (n,)."""
        truth = self.truth
        if truth.task != "denoise" or truth.visible is None or not truth.visible_fraction:
            return None
        return truth.visible * (1 - truth.visible_fraction) / truth.visible_fraction

    def _likelihood(self, prediction: Prediction, genes: np.ndarray, x: np.ndarray, counts: np.ndarray) -> np.ndarray:
        if prediction.rate is not None:
            expected = prediction.rate(genes)
        else:
            exposure = self._exposure_of_hidden()
            expected = np.expm1(np.maximum(x, 0)) / keys.TARGET_SUM * exposure[:, None]
        return metrics.poisson_log_likelihood(counts, expected)

    def summarise(self, scores: MethodScores, group: str) -> dict[str, float | int | str] | None:
        """One row of the table: a method on a group of genes; None if it covers none of them.

        Genes whose truth is flat are excluded for all methods. Otherwise an undefined correlation (the
        prediction is flat, or there is none) counts as 0 in the means and quartiles, and is counted.
        """
        genes = self.truth.groups[group]
        if not scores.covered[genes].any():
            return None
        scored = genes[~self.flat[genes]]
        pcc, spearman = (scores.per_gene[name][scored] for name in ("pcc", "spearman"))
        zeroed = np.nan_to_num(pcc, nan=0.0)
        ceiling = self.ceiling[scored]
        known = np.isfinite(ceiling)
        low, high = interval(mean_pearson_draws(scores.moments, self.draws, scored))
        quartiles = np.quantile(zeroed, [0.25, 0.5, 0.75]) if len(zeroed) else np.full(3, np.nan)
        row = {
            "task": self.truth.task,
            "method": scores.method,
            "genes": group,
            "n_genes": len(scored),
            "n_nan": int(np.isnan(pcc).sum()),
            "pcc_mean": _mean(zeroed),
            "pcc_median": float(quartiles[1]),
            "pcc_q25": float(quartiles[0]),
            "pcc_q75": float(quartiles[2]),
            "spearman_mean": _mean(np.nan_to_num(spearman, nan=0.0)),
            "rmse_mean": _mean(scores.per_gene["rmse"][scored]),
            "ceiling_mean": _mean(ceiling),
            "fraction_of_ceiling": _ratio(zeroed[known].sum(), ceiling[known].sum()),
            "lo": low,
            "hi": high,
            "n_flat_truth": int(self.flat[genes].sum()),
            "n_no_ceiling": int((~known).sum()),
            "ssim_global_mean": _mean(scores.per_gene["ssim_global"][scored]),
            "jsd_mean": _mean(scores.per_gene["jsd"][scored]),
            "moran_mean": _mean(scores.per_gene["moran"][scored]),
            "moran_truth_mean": _mean(self.moran[scored]),
            "gsc": scores.structure[group],
        }
        if scores.deviance is not None:
            found, constant = scores.deviance[:, scored], self.constant[:, scored]
            d2 = metrics.deviance_explained((self.draws @ found), (self.draws @ constant))
            row["d2"] = float(metrics.deviance_explained(found.sum(axis=0), constant.sum(axis=0)))
            row["d2_lo"], row["d2_hi"] = interval(d2)
            row["d2_mean"] = _mean(scores.per_gene["d2"][scored])
            row["pearson_residuals_mean"] = _mean(np.nan_to_num(scores.per_gene["pearson_residuals"][scored], nan=0.0))
        if "poisson_ll" in scores.per_gene:
            held = scored[scores.covered[scored]]
            counts = float(self.truth.counts[:, held].sum())
            row["poisson_ll_per_umi"] = _ratio(scores.per_gene["poisson_ll"][held].sum(), counts)
        return row

    def difference(self, ours: MethodScores, other: MethodScores, group: str) -> dict[str, float]:
        """Mean PCC of ours minus another's, and over another's, with intervals of the paired bootstrap."""
        genes = self.truth.groups[group]
        genes = genes[~self.flat[genes]]
        gap = [
            np.nan_to_num(scores.per_gene["pcc"][genes], nan=0.0).mean() if len(genes) else np.nan
            for scores in (ours, other)
        ]
        first, second = (mean_pearson_draws(scores.moments, self.draws, genes) for scores in (ours, other))
        low, high = interval(first - second)
        # The ratio is undefined where the other's mean is zero or below.
        ratios = np.divide(first, second, out=np.full_like(first, np.nan), where=second > 0)
        ratio_low, ratio_high = interval(ratios)
        explained = {}
        if ours.deviance is not None and other.deviance is not None:
            constant = self.draws @ self.constant[:, genes]
            one, two = (metrics.deviance_explained(self.draws @ s.deviance[:, genes], constant) for s in (ours, other))
            whole = (s.deviance[:, genes].sum(axis=0) for s in (ours, other))
            below = self.constant[:, genes].sum(axis=0)
            gaps = [float(metrics.deviance_explained(found, below)) for found in whole]
            low_d2, high_d2 = interval(one - two)
            explained = {"d2": gaps[0] - gaps[1], "d2_lo": low_d2, "d2_hi": high_d2}
        return explained | {
            "pcc_mean": float(gap[0] - gap[1]),
            "lo": low,
            "hi": high,
            "ratio": _ratio(gap[0], gap[1]),
            "ratio_lo": ratio_low,
            "ratio_hi": ratio_high,
        }


def _mean(values: np.ndarray) -> float:
    """Mean of the defined values; NaN without any."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below > 0 else float("nan")

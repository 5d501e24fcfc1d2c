"""Units and meanings of the columns of tables written by FOCUS."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from focus_cli.core.storage.regular import require_regular

# Table → column → (unit, meaning).
SCORES = {
    "case": ("", "case of the benchmark"),
    "fold": ("", "hold-out of the run"),
    "sample": ("", "sample"),
    "task": ("", "what was held out"),
    "method": ("", "method: focus, another estimate, or a baseline"),
    "genes": ("", "group of genes"),
    "n_genes": ("", "number of scored genes"),
    "n_nan": ("", "genes with an undefined correlation; they count as 0"),
    "d2": ("up to 1", "deviance explained beyond a constant gene at the true depth, over all genes"),
    "d2_lo": ("up to 1", "lower end of the 95 % interval of it, by blocks of the section"),
    "d2_hi": ("up to 1", "upper end of it"),
    "d2_mean": ("up to 1", "mean over genes of the deviance explained"),
    "pearson_residuals_mean": ("-1 to 1", "mean over genes of the correlation of analytic Pearson residuals"),
    "pcc_mean": ("-1 to 1", "mean over genes of the Pearson correlation with the truth"),
    "pcc_median": ("-1 to 1", "median of these"),
    "pcc_q25": ("-1 to 1", "lower quartile of these"),
    "pcc_q75": ("-1 to 1", "upper quartile of these"),
    "spearman_mean": ("-1 to 1", "mean over genes of the Spearman correlation"),
    "rmse_mean": ("log1p(counts per 10 000)", "mean over genes of the root mean squared error"),
    "ceiling_mean": ("-1 to 1", "mean noise ceiling: the highest correlation possible with the noise of the truth"),
    "fraction_of_ceiling": ("ratio", "correlation over the noise ceiling"),
    "lo": ("-1 to 1", "lower end of the 95 % interval of the mean correlation, by blocks of the section"),
    "hi": ("-1 to 1", "upper end of it"),
    "n_flat_truth": ("", "genes that do not vary in the truth; they are left out"),
    "n_no_ceiling": ("", "genes without a noise ceiling"),
    "ssim_global_mean": ("-1 to 1", "mean structural similarity over the whole section"),
    "jsd_mean": ("nats", "mean Jensen–Shannon divergence of a gene's distribution over locations"),
    "moran_mean": ("-1 to 1", "mean Moran's I of the prediction over six neighbours"),
    "moran_truth_mean": ("-1 to 1", "the same of the truth"),
    "gsc": ("-1 to 1", "correlation of the two gene–gene correlation matrices"),
    "poisson_ll_per_umi": ("nats per count", "denoise: log-likelihood of the held-out counts"),
    "width_90": ("counts per 10 000", "mean width of the 90 % interval"),
    "width_95": ("counts per 10 000", "mean width of the 95 % interval of the share"),
    "error_ratio": ("ratio", "true over stated error of the shares"),
    "crps": ("counts", "continuous ranked probability score of the prediction"),
    "crps_poisson": ("counts", "the same of a Poisson distribution of the same mean"),
}
PER_GENE = SCORES | {
    "gene": ("", "gene"),
    "pcc": ("-1 to 1", "Pearson correlation with the truth"),
    "ceiling": ("-1 to 1", "noise ceiling: the highest correlation possible with the noise of the truth"),
    "spearman": ("-1 to 1", "Spearman correlation"),
    "rmse": ("log1p(counts per 10 000)", "root mean squared error"),
    "jsd": ("nats", "Jensen–Shannon divergence of the gene's distribution over locations"),
    "ssim_global": ("-1 to 1", "structural similarity over the whole section"),
    "moran": ("-1 to 1", "Moran's I of the prediction"),
    "moran_truth": ("-1 to 1", "Moran's I of the truth"),
    "poisson_ll": ("nats", "log-likelihood of the held-out counts of the gene"),
    "d2": ("up to 1", "deviance explained beyond a constant gene at the true depth"),
    "pearson_residuals": ("-1 to 1", "correlation of analytic Pearson residuals"),
}
CALIBRATION = SCORES | {
    "expected_count": ("counts", "range of the expected count"),
    "n_pairs": ("", "pairs of a location and a gene"),
}
FACTORS = {
    "factor": ("", "number of the factor"),
    "variance": ("", "variance of its scores over tissue"),
    "direction": ("", "up or down: the end of the factor"),
    "rank": ("", "rank of the gene at this end"),
    "gene": ("", "gene"),
    "loading": ("", "loading of the gene"),
    "measured": ("true or false", "false for a gene that is on no panel"),
}
OUTCOMES = {
    "sample": ("", "sample"),
    "locations": ("", "locations on tissue"),
    "score": ("", "calibrated score of the slide: higher means a more probable, or earlier, outcome"),
    "probability": ("0 to 1", "probability of the positive class"),
    "relative_hazard": ("ratio", "hazard relative to the mean of the cohort"),
    "unlike_training": ("fraction", "share of locations that differ from the training data"),
    "score_with_covariates": ("", "the same with the covariates"),
    "probability_with_covariates": ("0 to 1", "the same with the covariates"),
    "relative_hazard_with_covariates": ("ratio", "the same with the covariates"),
}
NUCLEI = {
    "nucleus": ("", "number of the nucleus"),
    "x_um": ("µm", "centre, to the right"),
    "y_um": ("µm", "centre, down"),
    "area_um2": ("µm²", "area of the nucleus"),
    "eccentricity": ("0 to 1", "eccentricity; 0 for a circle"),
    "haematoxylin": ("optical density", "mean haematoxylin of the nucleus"),
}
COHORT = {
    "sample": ("", "sample"),
    "status": ("", "done, failed, running, waiting"),
    "rule": ("", "current or failed job"),
    "message": ("", "last message of that job"),
    "log": ("", "log of that job"),
    "platform": ("", "platform of the data"),
    "organ": ("", "from the samples sheet"),
    "donor": ("", "from the samples sheet"),
    "group": ("", "from the samples sheet"),
    "split": ("", "train or test, from the samples sheet"),
    "model": ("", "model that enhances the sample"),
    "locations": ("", "number of locations"),
    "genes": ("", "number of genes"),
    "median_counts": ("counts", "median over locations"),
    "median_reliability": ("0 to 1", "median reliability of locations"),
    "abstained": ("fraction", "share of locations whose estimate should not be used"),
    "warnings": ("", "warnings of all jobs of the sample"),
    "seconds": ("s", "total time of all jobs of the sample"),
    "memory_mb": ("MB", "largest memory of a job"),
    "report": ("", "path of the report, relative to the table"),
    "enhanced": ("", "path of the enhanced file, relative to the table"),
}
TABLES = {
    "scores.tsv": SCORES,
    "per_gene.tsv": PER_GENE,
    "calibration.tsv": CALIBRATION,
    "factors.tsv": FACTORS,
}
_COVERAGE = re.compile(r"coverage_(\d\d)(_abundant|_poisson)?")
_OF_FOLD = re.compile(r"(.+)\.(focus|best|method)")
_ENDS = {"focus": "score of FOCUS", "best": "score of the best baseline", "method": "name of that baseline"}


def column_field(column: str, known: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """Unit and meaning of a column of a table; both empty if unknown."""
    if column in known:
        return known[column]
    if match := _COVERAGE.fullmatch(column):
        among = {"_abundant": ", among abundant genes", "_poisson": " of a Poisson distribution of the same mean"}
        return "fraction", f"share of values within the {match[1]} % interval{among.get(match[2] or '', '')}"
    if known is COHORT and (match := _OF_FOLD.fullmatch(column)):
        return "", f"hold-out {match[1]}: {_ENDS[match[2]]}"
    return ("", "analysis result of the sample") if known is COHORT else ("", "")


def column_fields(columns: list[str], known: dict[str, tuple[str, str]], prefix: str = "") -> list[dict[str, Any]]:
    """One entry per column, in the format of the fields of `explain`."""
    found = []
    for column in columns:
        unit, meaning = column_field(column, known)
        found.append({"name": f"{prefix}{column}", "unit": unit, "meaning": meaning})
    return found


def header_of(path: Path) -> list[str]:
    """Names of the columns of a tab-separated table."""
    with open(require_regular(path), encoding="utf-8", errors="replace", newline="") as stream:
        return next(csv.reader(stream, delimiter="\t"), [])

"""The whole evaluation: a perfect file is perfect, whatever form it has, and the record is complete."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import tiny_sections as tiny
from tiny_sections import expression_of, genes_of, names, rows_of

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.provenance import hash_file
from focus_cli.evaluation import evaluate, format_table
from focus_cli.evaluation.truth import read_truth

CONTRACT = [
    *("task", "method", "genes", "n_genes", "n_nan", "d2", "d2_lo", "d2_hi", "d2_mean", "pearson_residuals_mean"),
    *("pcc_mean", "pcc_median", "pcc_q25", "pcc_q75"),
    *("spearman_mean", "rmse_mean", "ceiling_mean", "fraction_of_ceiling", "lo", "hi"),
]


def test_the_counts_themselves_are_a_perfect_prediction(held, tmp_path):
    _, path = held["denoise"]
    truth = read_truth(path)
    file = tiny.write_estimate(
        tmp_path / "e.h5ad", truth.columns(np.arange(20)), truth.names, truth.genes, by_focus=False
    )
    row = evaluate(file, path, tmp_path / "scores", name="copy", scale="log1p")["rows"][0]
    assert row["method"] == "copy" and row["n_genes"] == 20 and row["n_nan"] == 0
    for name in ("pcc_mean", "pcc_q25", "spearman_mean", "ssim_global_mean", "gsc", "lo", "hi"):
        assert row[name] == pytest.approx(1), name
    assert row["rmse_mean"] == pytest.approx(0) and row["jsd_mean"] == pytest.approx(0)
    assert row["fraction_of_ceiling"] > 1  # noise and all: no method can do this honestly


@pytest.mark.parametrize("task", ["denoise", "impute", "histology"])
def test_the_true_expression_reaches_the_noise_ceiling(spots, held, tmp_path, task):
    seen, path = held[task]
    genes = genes_of(path)
    hidden = [int(g[1:]) for g in genes]
    measured = np.setdiff1d(np.arange(40), hidden) if task == "impute" else None
    values = expression_of(spots, genes, measured=measured)
    file = tiny.write_estimate(tmp_path / "e.h5ad", values, names(spots), genes)
    scores = evaluate(file, path, tmp_path / "scores", observed=seen)
    rows = rows_of(scores)
    assert rows["focus"]["fraction_of_ceiling"] == pytest.approx(1, abs=0.04)
    assert rows["focus"]["lo"] < rows["focus"]["pcc_mean"] < rows["focus"]["hi"]
    assert rows["focus"]["pcc_mean"] == max(row["pcc_mean"] for row in rows.values())
    assert scores["matching"]["how"] == "by name"
    assert rows["focus"]["genes"] == ("imputed" if task == "impute" else "scored")


def test_outputs_hold_what_the_contract_says(spots, held, tmp_path):
    seen, path = held["denoise"]
    file = tiny.write_estimate(tmp_path / "e.h5ad", expression_of(spots, genes_of(path)), names(spots), genes_of(path))
    scores = evaluate(file, path, tmp_path / "scores", observed=seen)
    assert sorted(p.name for p in (tmp_path / "scores").iterdir()) == [
        "per_gene.tsv",
        "scores.json",
        "scores.png",
        "scores.tsv",
    ]
    table = pd.read_csv(tmp_path / "scores" / "scores.tsv", sep="\t")
    assert list(table.columns[: len(CONTRACT)]) == CONTRACT
    assert list(table.method) == [row["method"] for row in scores["rows"]]
    assert json.loads((tmp_path / "scores" / "scores.json").read_text()) == scores
    ran = {"gene_mean", "nearest", "inverse_distance", "ridge", "ridge_residuals"}
    ran |= {"visible", "knn_smoothing", "pca_smoothing"}
    assert set(table.method) == {"focus"} | ran
    assert set(scores["skipped"]) == {"reference_projection", "reference_ridge", "spage", "cohort_ridge"}
    assert all(scores["skipped"].values())
    per_gene = pd.read_csv(tmp_path / "scores" / "per_gene.tsv", sep="\t")
    assert len(per_gene) == 20 * len(table)
    ours = per_gene[per_gene.method == "focus"]
    row = table[table.method == "focus"].iloc[0]
    assert ours.pcc.mean() == pytest.approx(row.pcc_mean, abs=1e-6)
    assert ours.pcc.quantile(0.25) == pytest.approx(row.pcc_q25, abs=1e-6)
    assert scores["sample_id"] == "S1" and scores["groups"]["scored"] == genes_of(path)
    assert scores["provenance"]["inputs"]["truth"]["sha256"] == hash_file(path)
    assert {"rule", "seed", "visible_fraction"} <= set(scores["truth"])
    text = format_table(scores["rows"])
    lines = [line.split() for line in text.splitlines()]
    assert any(line[:3] == ["denoise", "scored", "focus"] for line in lines)
    assert "\x1b" not in text


def test_a_flat_prediction_counts_as_zero_and_is_counted(spots, held, tmp_path):
    seen, path = held["denoise"]
    genes = genes_of(path)
    values = expression_of(spots, genes)
    values[:, :5] = 1.25
    file = tiny.write_estimate(tmp_path / "e.h5ad", values, names(spots), genes)
    rows = rows_of(evaluate(file, path, tmp_path / "scores", observed=seen))
    per_gene = pd.read_csv(tmp_path / "scores" / "per_gene.tsv", sep="\t").query("method == 'focus'")
    assert rows["focus"]["n_nan"] == 5 == per_gene.pcc.isna().sum()
    assert rows["focus"]["pcc_mean"] == pytest.approx(per_gene.pcc.sum() / 20, abs=1e-6)
    assert rows["gene_mean"]["n_nan"] == 20 and rows["gene_mean"]["pcc_mean"] == 0
    assert rows["gene_mean"]["rmse_mean"] > rows["inverse_distance"]["rmse_mean"]


def test_a_missing_gene_is_not_dropped_in_silence(spots, held, tmp_path):
    _, path = held["denoise"]
    genes = genes_of(path)
    values = expression_of(spots, genes)
    whole = tiny.write_estimate(tmp_path / "a.h5ad", values, names(spots), genes)
    part = tiny.write_estimate(tmp_path / "b.h5ad", values[:, :10], names(spots), genes[:10])
    first = evaluate(whole, path, tmp_path / "whole")["rows"][0]
    second = evaluate(part, path, tmp_path / "part")
    assert second["rows"][0]["n_nan"] == 10 == second["matching"]["n_genes_missing"]
    assert second["rows"][0]["n_genes"] == 20
    assert second["rows"][0]["pcc_mean"] < 0.7 * first["pcc_mean"]


def test_the_sign_of_a_correlation_is_kept(spots, held, tmp_path):
    _, path = held["denoise"]
    genes = genes_of(path)
    file = tiny.write_estimate(tmp_path / "e.h5ad", -expression_of(spots, genes), names(spots), genes)
    row = evaluate(file, path, tmp_path / "scores")["rows"][0]
    assert row["pcc_mean"] < -0.3 and row["hi"] < 0 and row["spearman_mean"] < -0.3


def expected_truth(path, spots, *, scale="linear"):
    """A simulator's truth: expectations of all genes, the last ten outside the panel."""
    values = spots.share * (1 / spots.share[:, :30].sum(axis=1, keepdims=True))
    log = tiny.log_cp10k(values).astype(np.float32)
    linear = values * np.linspace(1, 9, 400)[:, None]
    genes, measured = [f"G{j:03d}" for j in range(40)], np.arange(40) < 30
    tiny.write_expected(path, linear if scale == "linear" else log, spots, genes, measured=measured, scale=scale)
    return log


@pytest.mark.parametrize("scale", ["linear", "log1p_cp10k"])
def test_a_simulators_truth_is_scored_for_measured_and_imputed_genes_with_coverage(spots, tmp_path, scale):
    log = expected_truth(tmp_path / "truth.h5ad", spots, scale=scale)
    noise = np.random.default_rng(0).normal(0, 0.3, log.shape).astype(np.float32)
    estimate = log + noise
    layers = {"q05": estimate - 1.645 * 0.3, "q95": estimate + 1.645 * 0.3}
    file = tiny.write_estimate(
        tmp_path / "e.h5ad", estimate, names(spots), [f"G{j:03d}" for j in range(40)], layers=layers
    )
    scores = evaluate(file, tmp_path / "truth.h5ad", tmp_path / "scores", observed=spots.path)
    ours = {row["genes"]: row for row in scores["rows"] if row["method"] == "focus"}
    assert set(ours) == {"measured", "imputed"}
    assert (ours["measured"]["n_genes"], ours["imputed"]["n_genes"]) == (30, 10)
    for row in ours.values():
        assert row["rmse_mean"] == pytest.approx(0.3, abs=0.02)
        assert row["coverage_90"] == pytest.approx(0.9, abs=0.01)
        assert row["width_90"] == pytest.approx(2 * 1.645 * 0.3, abs=1e-3)
        assert row["ceiling_mean"] == 1 and row["fraction_of_ceiling"] == pytest.approx(row["pcc_mean"])
    assert "visible" in {row["method"] for row in scores["rows"] if row["genes"] == "measured"}


def test_poisson_likelihood_of_unseen_molecules_is_best_for_the_true_rate(spots, held, tmp_path):
    seen, path = held["denoise"]
    genes = genes_of(path)
    true = tiny.write_estimate(tmp_path / "t.h5ad", expression_of(spots, genes), names(spots), genes)
    rows = rows_of(evaluate(true, path, tmp_path / "scores", observed=seen))
    best = max(rows, key=lambda m: rows[m]["poisson_ll_per_umi"])
    assert best == "focus"
    assert rows["focus"]["poisson_ll_per_umi"] > rows["gene_mean"]["poisson_ll_per_umi"]


def test_the_files_own_mean_of_counts_is_used_for_the_likelihood(spots, held, tmp_path):
    seen, path = held["denoise"]
    genes = genes_of(path)
    log = expression_of(spots, genes)
    visible = anndata.read_h5ad(seen / "counts.h5ad").obs[keys.TOTAL_COUNTS].to_numpy()[:, None]
    rate = (np.expm1(log) / 1e4 * visible).astype(np.float32)
    options = {"layers": {keys.MEAN_COUNTS: rate}}
    plain_file = tiny.write_estimate(tmp_path / "a.h5ad", log, names(spots), genes)
    good = tiny.write_estimate(tmp_path / "b.h5ad", log, names(spots), genes, **options)
    bad = tiny.write_estimate(tmp_path / "c.h5ad", log, names(spots), genes, layers={keys.MEAN_COUNTS: 3 * rate})
    ll = [evaluate(f, path, tmp_path / f.stem)["rows"][0]["poisson_ll_per_umi"] for f in (plain_file, good, bad)]
    assert ll[0] == pytest.approx(ll[1], abs=1e-3) and ll[2] < ll[1] - 0.1


def test_the_difference_to_a_baseline_is_paired(spots, held, tmp_path):
    seen, path = held["denoise"]
    genes = genes_of(path)
    file = tiny.write_estimate(tmp_path / "e.h5ad", expression_of(spots, genes), names(spots), genes)
    scores = evaluate(file, path, tmp_path / "scores", observed=seen)
    rows, gaps = rows_of(scores), scores["differences"]["scored"]
    for method, gap in gaps.items():
        assert gap["pcc_mean"] == pytest.approx(rows["focus"]["pcc_mean"] - rows[method]["pcc_mean"])
        assert gap["lo"] <= gap["pcc_mean"] <= gap["hi"]
    assert gaps["nearest"]["lo"] > 0


def test_same_seed_same_bytes(spots, held, tmp_path):
    seen, path = held["histology"]
    genes = genes_of(path)
    file = tiny.write_estimate(tmp_path / "e.h5ad", expression_of(spots, genes), names(spots), genes)
    for name in "ab":
        evaluate(file, path, tmp_path / name, observed=seen, seed=5)
    for made in sorted((tmp_path / "a").iterdir()):
        assert hash_file(made) == hash_file(tmp_path / "b" / made.name), made.name


@pytest.mark.parametrize("damage", ["no X", "text for positions", "text for exposure", "one name for all genes"])
def test_a_damaged_truth_is_refused(held, tmp_path, damage):
    adata = anndata.read_h5ad(held["denoise"][1])
    if damage == "no X":
        adata.X = None
    elif damage == "text for positions":
        adata.obsm["spatial_um"] = np.full(adata.obsm["spatial_um"].shape, "x", dtype=object)
    elif damage == "text for exposure":
        adata.obs["exposure"] = "x"
    else:
        adata.uns["focus_truth"] = {"kind": "counts", "genes": 3}
    adata.write_h5ad(tmp_path / "truth.h5ad")
    with pytest.raises(BadInputError, match=r"truth\.h5ad"):
        read_truth(tmp_path / "truth.h5ad")

"""The whole evaluation: a perfect file is perfect, whatever form it has, and the record is complete."""

import json
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
import tiny_sections as tiny
from scipy import sparse

from focus_cli import keys
from focus_cli.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.evaluation import evaluate, format_table, hold_out
from focus_cli.evaluation.matching import match_locations
from focus_cli.evaluation.reading import EstimateFile
from focus_cli.evaluation.truth import read_truth
from focus_cli.provenance import hash_file

CONTRACT = [
    *("task", "method", "genes", "n_genes", "n_nan", "pcc_mean", "pcc_median", "pcc_q25", "pcc_q75"),
    *("spearman_mean", "rmse_mean", "ceiling_mean", "fraction_of_ceiling", "lo", "hi"),
]


@pytest.fixture(scope="module")
def held(spots, tmp_path_factory):
    """Denoise, impute and histology hold-outs of the smooth section: task → (seen, truth)."""
    folder = tmp_path_factory.mktemp("held")
    out = {}
    for task in ("denoise", "impute", "histology"):
        out[task] = folder / task, folder / f"{task}.h5ad"
        options = {"test_fraction": 0.4} if task == "histology" else {}
        hold_out(spots.path, task, *out[task], n_genes=20, **options)
    return out


def genes_of(truth):
    return list(read_truth(truth).genes)


def expression_of(spots, genes, *, measured=None):
    """True log1p CP10k of named genes; CP10k of the measured ones where some are hidden."""
    index = [int(g[1:]) for g in genes]
    total = 1.0 if measured is None else spots.share[:, measured].sum(axis=1, keepdims=True)
    return tiny.log_cp10k(spots.share[:, index] / total).astype(np.float32)


def names(spots):
    return [f"loc{i:05d}" for i in range(len(spots.xy_um))]


def rows_of(scores):
    return {row["method"]: row for row in scores["rows"]}


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
    file = tiny.write_estimate(
        tmp_path / "e.h5ad", expression_of(spots, genes_of(path)), names(spots), genes_of(path)
    )
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
    assert set(scores["skipped"]) == {"reference_projection", "reference_ridge", "cohort_ridge"}
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


@pytest.mark.parametrize("form", ["dense", "chunked", "csr", "csc", "layer", "shuffled"])
def test_every_form_of_file_gives_the_same_scores(spots, held, tmp_path, form):
    _, path = held["denoise"]
    genes = genes_of(path)
    index = [int(g[1:]) for g in genes]
    everything = expression_of(spots, [f"G{j:03d}" for j in range(40)])
    all_genes = np.array([f"G{j:03d}" for j in range(40)])
    rng = np.random.default_rng(0)
    options, layer, rows, columns = {}, "X", np.arange(400), np.arange(40)
    if form == "shuffled":
        rows, columns = rng.permutation(400), rng.permutation(40)
    values = everything[np.ix_(rows, columns)]
    if form in ("csr", "csc"):
        values = sparse.csr_matrix(values).asformat(form)
    if form == "layer":
        layer, values, options = "smooth", np.zeros_like(values), {"layers": {"smooth": values}}
    file = tmp_path / "e.h5ad"
    tiny.write_estimate(
        file, values, np.array(names(spots))[rows], all_genes[columns], by_focus=form != "layer", **options
    )
    if form == "chunked":
        chunked(file, (7, 3))
    got = evaluate(file, path, tmp_path / "scores", layer=layer)
    truth = read_truth(path)
    place = [names(spots).index(n) for n in truth.names]
    wanted = [
        np.corrcoef(everything[place, j], truth.columns(np.array([k])).ravel())[0, 1]
        for k, j in enumerate(index)
    ]
    assert got["matching"]["scale"] == "log1p" and got["matching"]["layer"] == layer
    assert got["rows"][0]["pcc_mean"] == pytest.approx(np.mean(wanted), abs=1e-5)


def chunked(file, chunks):
    """Rewrite X of a file in chunks."""
    import h5py

    with h5py.File(file, "r+") as store:
        values, attributes = store["X"][:], dict(store["X"].attrs)
        del store["X"]
        store.create_dataset("X", data=values, chunks=chunks, compression="lzf").attrs.update(attributes)


def test_counts_of_another_tool_are_recognised_and_normalised(spots, held, tmp_path):
    _, path = held["denoise"]
    genes = [f"G{j:03d}" for j in range(40)]
    log = tiny.write_estimate(tmp_path / "log.h5ad", tiny.log_cp10k(spots.share), names(spots), genes)
    depth = np.random.default_rng(0).uniform(500, 5000, (400, 1))
    counts = tiny.write_estimate(
        tmp_path / "MAGIC.h5ad", (spots.share * depth).astype(np.float32), names(spots), genes, by_focus=False
    )
    first = evaluate(log, path, tmp_path / "a")
    second = evaluate(counts, path, tmp_path / "b")
    assert second["matching"]["scale"] == "counts" and second["method"] == "MAGIC"
    for name in ("pcc_mean", "rmse_mean", "jsd_mean", "spearman_mean"):
        assert second["rows"][0][name] == pytest.approx(first["rows"][0][name], abs=1e-4), name


def test_counts_of_hidden_genes_are_divided_by_the_exposure_of_measured_ones(spots, held, tmp_path):
    _, path = held["impute"]
    truth = read_truth(path)
    index = [int(g[1:]) for g in truth.genes]
    measured = np.setdiff1d(np.arange(40), index)
    share = spots.share / spots.share[:, measured].sum(axis=1, keepdims=True)
    values = (share[:, index] * truth.exposure[:, None]).astype(np.float32)
    file = tiny.write_estimate(tmp_path / "t.h5ad", values, names(spots), truth.genes, by_focus=False)
    row = evaluate(file, path, tmp_path / "s", scale="counts")["rows"][0]
    assert row["fraction_of_ceiling"] == pytest.approx(1, abs=0.04)
    by_hand = tiny.log_cp10k(share[:, index])
    wanted = np.sqrt(((by_hand - truth.columns(np.arange(len(index)))) ** 2).mean(axis=0)).mean()
    assert row["rmse_mean"] == pytest.approx(wanted, rel=1e-4)


def test_a_refined_file_on_another_grid_is_matched_by_position(bins, tmp_path):
    seen, path = tmp_path / "seen", tmp_path / "truth.h5ad"
    hold_out(bins.path, "refine", seen, path, n_genes=12, truth_bin_um=24)
    genes = genes_of(path)
    index = [int(g[1:]) for g in genes]
    values = tiny.log_cp10k(bins.share[:, index]).astype(np.float32)
    fine = tiny.write_estimate(
        tmp_path / "fine.h5ad", values, [f"q{i}" for i in range(14400)], genes, bins.xy_um, by_focus=True
    )
    scores = evaluate(fine, path, tmp_path / "fine", observed=seen)
    rows = rows_of(scores)
    assert scores["matching"]["n_matched"] == scores["matching"]["n_truth"]
    assert "mean" in scores["matching"]["how"]
    assert rows["focus"]["fraction_of_ceiling"] == pytest.approx(1, abs=0.05)
    assert {"nearest", "inverse_distance", "ridge", "ridge_residuals"} <= set(rows)
    assert "visible" in scores["skipped"]  # bins were not measured themselves
    shifted = tiny.write_estimate(
        tmp_path / "shifted.h5ad",
        values[::9][:1600],
        [f"q{i}" for i in range(1600)],
        genes,
        np.asarray(read_truth(path).xy_um)[:1600] + np.array([11.9, -11.9]),
    )
    assert evaluate(shifted, path, tmp_path / "s")["matching"]["how"].startswith("by position, nearest")
    spots_only = anndata.read_h5ad(seen / "counts.h5ad")[:, genes]
    spot_file = tiny.write_estimate(
        tmp_path / "spots.h5ad",
        spots_only.X.toarray(),
        spots_only.obs_names,
        genes,
        spots_only.obsm[keys.SPATIAL_UM],
    )
    with pytest.raises(BadInputError, match="locations are in the file"):
        evaluate(spot_file, path, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_a_finer_file_is_averaged_as_molecules_not_as_logarithms(tmp_path):
    truth_xy = np.array([[8.0, 8.0], [24.0, 8.0], [8.0, 24.0], [24.0, 24.0]])
    fine_xy, _, _ = tiny.square_grid(4, 8.0, start=4.0)
    match = match_locations(np.array(list("abcd")), truth_xy, np.arange(16).astype(str), fine_xy)
    np.testing.assert_array_equal(np.bincount(match.pair_truth), [4, 4, 4, 4])
    np.testing.assert_array_equal(match.pair_file[match.pair_truth == 0], [0, 1, 4, 5])
    from focus_cli.evaluation.prediction import GatheredColumns

    linear = np.arange(16, dtype=np.float32)[:, None] ** 2
    path = tiny.write_estimate(
        tmp_path / "f.h5ad", np.log1p(linear), np.arange(16).astype(str), ["G"], fine_xy
    )
    with EstimateFile(path) as file:
        got = GatheredColumns(file, "X", match, np.array([0]), "log1p", tmp_path)(np.array([0]))
    assert got[0, 0] == pytest.approx(np.log1p((0 + 1 + 16 + 25) / 4))


def test_names_that_nearly_coincide_match_by_name_and_the_rest_is_said(spots, held, tmp_path, capsys):
    _, path = held["denoise"]
    genes = genes_of(path)
    keep = np.arange(400) >= 40
    file = tiny.write_estimate(
        tmp_path / "e.h5ad", expression_of(spots, genes)[keep], np.array(names(spots))[keep], genes
    )
    scores = evaluate(file, path, tmp_path / "scores")
    assert scores["matching"]["n_matched"] == 360 and scores["matching"]["n_truth"] == 400
    assert "360 of 400 locations matched by name" in capsys.readouterr().err


def expected_truth(path, spots, *, scale="linear"):
    """A simulator's truth: expectations of all genes, the last ten outside the panel."""
    values = spots.share * (1 / spots.share[:, :30].sum(axis=1, keepdims=True))
    log = tiny.log_cp10k(values).astype(np.float32)
    adata = anndata.AnnData(
        X=(values * np.linspace(1, 9, 400)[:, None]).astype(np.float32) if scale == "linear" else log,
        obs=pd.DataFrame(index=names(spots)),
        var=pd.DataFrame({keys.MEASURED: np.arange(40) < 30}, index=[f"G{j:03d}" for j in range(40)]),
    )
    adata.obsm[keys.SPATIAL_UM] = spots.xy_um
    adata.uns["focus_truth"] = {"task": "expected", "kind": "expected", "scale": scale}
    adata.write_h5ad(path)
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
    bad = tiny.write_estimate(
        tmp_path / "c.h5ad", log, names(spots), genes, layers={keys.MEAN_COUNTS: 3 * rate}
    )
    ll = [
        evaluate(f, path, tmp_path / f.stem)["rows"][0]["poisson_ll_per_umi"] for f in (plain_file, good, bad)
    ]
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


def test_large_estimates_go_through_disk_with_the_same_result(spots, held, tmp_path, monkeypatch):
    _, path = held["denoise"]
    genes = genes_of(path)
    file = tiny.write_estimate(tmp_path / "e.h5ad", expression_of(spots, genes), names(spots), genes)
    first = evaluate(file, path, tmp_path / "a")
    monkeypatch.setattr("focus_cli.evaluation.prediction._IN_MEMORY", 0)
    monkeypatch.setattr("focus_cli.evaluation.reading._BLOCK_BYTES", 4096)
    assert evaluate(file, path, tmp_path / "b")["rows"] == first["rows"]
    assert len(list((tmp_path / "b").iterdir())) == 4


def test_only_scored_columns_are_read(spots, held, tmp_path):
    """A file whose other columns cannot be unpacked is still scored."""
    import h5py

    _, path = held["denoise"]
    genes = genes_of(path)
    wide = np.concatenate([expression_of(spots, genes), np.full((400, 20), np.nan, np.float32)], axis=1)
    file = tiny.write_estimate(
        tmp_path / "e.h5ad", wide, names(spots), [*genes, *(f"N{i}" for i in range(20))]
    )
    chunked(file, (100, 20))
    with h5py.File(file) as store:
        offset = store["X"].id.get_chunk_info(1).byte_offset
    with open(file, "r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 64)
    with pytest.raises(OSError), h5py.File(file) as store:
        store["X"][:]
    assert evaluate(file, path, tmp_path / "scores")["rows"][0]["n_nan"] == 0


def test_bad_inputs_are_refused_and_leave_nothing(spots, held, tmp_path):
    seen, path = held["denoise"]
    genes, values = genes_of(path), expression_of(spots, genes_of(path))
    good = tiny.write_estimate(tmp_path / "good.h5ad", values, names(spots), genes)
    broken = values.copy()
    broken[3, 4] = np.nan
    nan = tiny.write_estimate(tmp_path / "nan.h5ad", broken, names(spots), genes)
    no_gene = tiny.write_estimate(tmp_path / "no_gene.h5ad", values, names(spots), [f"x{g}" for g in genes])
    no_place = tiny.write_estimate(tmp_path / "no_place.h5ad", values, [f"x{n}" for n in names(spots)], genes)
    twice = tiny.write_estimate(tmp_path / "twice.h5ad", values, names(spots), [genes[0], *genes[:-1]])
    negative = tiny.write_estimate(tmp_path / "neg.h5ad", values - 100, names(spots), genes, by_focus=False)
    cut = tmp_path / "cut.h5ad"
    cut.write_bytes(good.read_bytes()[:3000])
    text = tmp_path / "text.h5ad"
    text.write_text("gene\tvalue\n")
    out = tmp_path / "scores"
    cases = [
        (nan, path, {}, BadInputError),
        (no_gene, path, {}, BadInputError),
        (no_place, path, {}, BadInputError),
        (twice, path, {}, BadInputError),
        (negative, path, {"scale": "counts"}, BadInputError),
        (cut, path, {}, BadInputError),
        (text, path, {}, BadInputError),
        (good, text, {}, BadInputError),
        (good, good, {}, BadInputError),  # an estimate is no truth
        (tmp_path / "absent.h5ad", path, {}, MissingResourceError),
        (good, tmp_path / "absent.h5ad", {}, MissingResourceError),
        (good, path, {"observed": tmp_path / "absent"}, MissingResourceError),
        (good, path, {"training": [tmp_path / "absent"]}, MissingResourceError),
        (good, path, {"reference": tmp_path / "absent"}, MissingResourceError),
        (good, path, {"layer": "smooth"}, UsageError),
        (good, path, {"scale": "sqrt"}, UsageError),
    ]
    before = sorted(tmp_path.iterdir())
    for file, truth, options, error in cases:
        with pytest.raises(error) as caught:
            evaluate(file, truth, out, **options)
        assert "\n" not in caught.value.message and sorted(tmp_path.iterdir()) == before
    out.mkdir()
    with pytest.raises(OutputExistsError):
        evaluate(good, path, out)
    evaluate(good, path, out, overwrite=True)
    assert (out / "scores.tsv").is_file()
    assert seen.exists()


@pytest.mark.parametrize("change", ["negative", "gene", "kind", "positions"])
def test_damaged_truths_are_refused(held, tmp_path, change):
    path = tmp_path / "truth.h5ad"
    shutil.copy(held["denoise"][1], path)
    adata = anndata.read_h5ad(path)
    if change == "negative":
        adata.X.data[0] = -1
    elif change == "gene":
        adata.uns["focus_truth"]["genes"] = ["NOT_A_GENE"]
    elif change == "kind":
        adata.uns["focus_truth"]["kind"] = "rumour"
    else:
        del adata.obsm[keys.SPATIAL_UM]
    adata.write_h5ad(path)
    with pytest.raises(BadInputError):
        read_truth(path)

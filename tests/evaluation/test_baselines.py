"""Baselines find what they are made to find, say why they cannot run, and are never told the truth."""

from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import tiny_sections as tiny
from scipy import sparse
from scipy.optimize import nnls
from sklearn.linear_model import Ridge

from focus_cli.core.errors import BadInputError
from focus_cli.evaluation import evaluate, hold_out
from focus_cli.evaluation.baselines import BASELINES, Inputs, NotRunnable, Section, run_baselines
from focus_cli.evaluation.baselines.reference import _mix
from focus_cli.evaluation.baselines.ridge import block_folds, fit_ridge, random_folds
from focus_cli.evaluation.baselines.transfer import moments
from focus_cli.evaluation.truth import read_truth
from focus_cli.experts import interpolation_weights
from focus_cli.genes import load_table


def scores_of(tissue, tmp_path, task, *, training=(), **options):
    """Scores of all baselines on a hold-out: method → row, and what was skipped."""
    seen, path = tmp_path / "seen", tmp_path / "truth.h5ad"
    hold_out(tissue.path, task, seen, path, **options)
    truth = read_truth(path)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(truth.n, len(truth.genes))).astype(np.float32)
    file = tiny.write_estimate(tmp_path / "noise.h5ad", noise, truth.names, truth.genes, truth.xy_um)
    scores = evaluate(file, path, tmp_path / "scores", observed=seen, training=training)
    return {row["method"]: row for row in scores["rows"]}, scores["skipped"]


def test_on_a_smooth_field_distance_beats_nearest_beats_mean(bins, tmp_path):
    rows, skipped = scores_of(bins, tmp_path, "refine", n_genes=20)
    pcc = {method: row["pcc_mean"] for method, row in rows.items()}
    assert pcc["inverse_distance"] > pcc["nearest"] > pcc["gene_mean"] == 0
    rmse = {method: row["rmse_mean"] for method, row in rows.items()}
    assert rmse["inverse_distance"] < rmse["nearest"]
    assert rmse["inverse_distance"] < rmse["gene_mean"]
    assert pcc["ridge"] < 0.3 * pcc["inverse_distance"]  # the texture says nothing of these genes
    assert {"visible", "knn_smoothing", "pca_smoothing", "cohort_ridge"} <= set(skipped)


def test_on_rough_image_driven_genes_ridge_wins(tmp_path, gene_weights):
    tissue = tiny.textured_section(tmp_path / "S1", weights=gene_weights, n=24)
    rows, _ = scores_of(tissue, tmp_path, "histology", n_genes=20, test_fraction=0.4)
    assert rows["ridge"]["fraction_of_ceiling"] > 0.8
    assert abs(rows["inverse_distance"]["pcc_mean"]) < 0.15
    assert rows["ridge"]["pcc_mean"] == max(row["pcc_mean"] for row in rows.values())
    assert rows["ridge"]["gsc"] > rows["nearest"]["gsc"]


def test_where_image_and_place_both_matter_their_sum_wins(tmp_path, gene_weights):
    """Rough image-driven genes under smooth fields: neither ridge nor interpolation alone is enough."""
    rng = np.random.default_rng(5)
    n, pitch = 24, 13 * tiny.STEP_UM
    xy, row, col = tiny.square_grid(n, pitch)
    features = tiny.texture(n * pitch, 4, rng)
    at_spots = features[row * 13, col * 13].astype(np.float16).astype(float)
    field = np.sin(2 * np.pi * xy @ rng.normal(0, 1.2 / (n * pitch), (2, 30)))
    share = tiny.proportions(0.6 * at_spots @ gene_weights + 0.8 * field)
    tissue = tiny.store_section(
        tmp_path / "S1", share, xy, depth=6000, rng=rng, row=row, col=col, features=features, pitch=pitch
    )
    rows, _ = scores_of(tissue, tmp_path, "denoise", n_genes=20)
    assert rows["ridge_residuals"]["pcc_mean"] > rows["ridge"]["pcc_mean"] + 0.05
    assert rows["ridge_residuals"]["pcc_mean"] > rows["inverse_distance"]["pcc_mean"] + 0.05


def test_ridge_carries_over_from_other_sections(tmp_path, gene_weights):
    test = tiny.textured_section(tmp_path / "S1", weights=gene_weights, n=16)
    others = [
        tiny.textured_section(tmp_path / f"S{i}", weights=gene_weights, n=16, seed=i, sample_id=f"S{i}").path
        for i in (2, 3)
    ]
    rows, skipped = scores_of(test, tmp_path, "histology", training=others, n_genes=20)
    assert rows["ridge"]["fraction_of_ceiling"] > 0.7
    assert skipped["nearest"] == "no location of --observed is measured"
    assert "gene_mean" in rows and rows["gene_mean"]["rmse_mean"] < 3


def factor_section(path, loadings, seed, sample_id, n=16):
    """Genes that are linear in a few rough factors: neighbours know nothing, other genes all."""
    rng = np.random.default_rng(seed)
    xy, row, col = tiny.square_grid(n, 100.0)
    share = tiny.proportions(rng.normal(size=(n * n, len(loadings))) @ loadings)
    return tiny.store_section(
        path, share, xy, depth=8000, rng=rng, row=row, col=col, sample_id=sample_id, features=None
    )


@pytest.fixture(scope="module")
def loadings():
    return np.random.default_rng(21).normal(0, 0.5, (3, 60))


def test_cohort_ridge_learns_hidden_genes_from_other_sections(tmp_path, loadings):
    tissue = factor_section(tmp_path / "S1", loadings, 1, "S1")
    others = [factor_section(tmp_path / f"S{i}", loadings, i, f"S{i}").path for i in (2, 3)]
    rows, skipped = scores_of(tissue, tmp_path, "impute", training=others, n_genes=20)
    assert rows["cohort_ridge"]["fraction_of_ceiling"] > 0.8
    assert rows["cohort_ridge"]["rmse_mean"] < 0.7 * rows["gene_mean"]["rmse_mean"]
    assert skipped["ridge"] == "needs --observed with an image"
    assert skipped["nearest"] == "the scored genes are measured nowhere in --observed"
    assert skipped["reference_ridge"] == "needs --reference"


def test_the_scored_section_is_never_trained_on(tmp_path, loadings):
    tissue = factor_section(tmp_path / "S1", loadings, 1, "S1")
    rows, skipped = scores_of(tissue, tmp_path, "impute", training=[tissue.path], n_genes=20)
    assert set(rows) == {"focus"}
    assert skipped["cohort_ridge"] == "needs --training"


def reference_cells(loadings, seed=3, n=600):
    """Cells of three types whose genes follow the same factors."""
    rng = np.random.default_rng(seed)
    centre = np.array([[2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0]])
    label = rng.integers(0, 3, n)
    share = tiny.proportions((centre[label] + rng.normal(size=(n, 3))) @ loadings)
    counts = sparse.csr_matrix(rng.poisson(3000 * share).astype(np.float32))
    return anndata.AnnData(
        counts,
        obs=pd.DataFrame({"cell_type": [f"T{i}" for i in label]}, index=[f"c{i}" for i in range(n)]),
        var=pd.DataFrame(index=[f"G{j:03d}" for j in range(loadings.shape[1])]),
    )


@pytest.fixture
def reference(tmp_path, loadings):
    """A stored reference whose genes are called by Ensembl ids, except the last two, which it lacks."""
    cells = reference_cells(loadings)[:, :58].copy()
    cells.var["gene_symbols"] = cells.var_names.astype(str)
    cells.var_names = [f"ENSG{j:011d}" for j in range(58)]
    cells.write_h5ad(tmp_path / "cells.h5ad")
    from focus_cli.genes.reference import build_reference

    build_reference(tmp_path / "cells.h5ad", tmp_path / "reference", "cell_type", n_states=6)
    return tmp_path / "reference"


def test_a_stored_reference_is_matched_by_symbol(tmp_path, loadings, reference):
    tissue = factor_section(tmp_path / "S1", loadings, 1, "S1")
    seen, path = tmp_path / "seen", tmp_path / "truth.h5ad"
    hold_out(tissue.path, "impute", seen, path, n_genes=60, reference=reference)
    truth = read_truth(path)
    assert len(truth.genes) == 29 and not {"G058", "G059"} & set(truth.genes)
    assert "of those that the reference holds" in truth.info["rule"]
    names = [f"ENSG{int(g[1:]):011d}" for g in truth.genes]
    file = tmp_path / "e.h5ad"
    estimate = anndata.AnnData(
        truth.columns(np.arange(29)),
        obs=pd.DataFrame(index=truth.names),
        var=pd.DataFrame({"gene_symbols": truth.genes.astype(str)}, index=names),
    )
    estimate.write_h5ad(file)
    scores = evaluate(file, path, tmp_path / "s", observed=seen, reference=reference, scale="log1p")
    rows = {row["method"]: row for row in scores["rows"]}
    assert rows["e"]["pcc_mean"] == pytest.approx(1)  # the file's genes were found by symbol
    assert rows["reference_ridge"]["fraction_of_ceiling"] > 0.8
    assert rows["reference_projection"]["pcc_mean"] > 0.2
    (tmp_path / "genes.txt").write_text("G003\nG059\n")
    with pytest.raises(BadInputError, match="G059"):
        hold_out(
            *(tissue.path, "impute", tmp_path / "x", tmp_path / "x.h5ad"),
            genes_file=tmp_path / "genes.txt",
            reference=reference,
        )


def inputs_for(tissue, hidden, **more):
    """Inputs of an impute task in memory: named genes are removed from what is seen."""
    genes = np.array([f"G{j:03d}" for j in range(tissue.counts.shape[1])])
    keep = np.setdiff1d(np.arange(len(genes)), hidden)
    names = np.array([f"loc{i:05d}" for i in range(len(tissue.xy_um))])
    observed = Section(names, tissue.xy_um, genes[keep], tissue.counts[:, keep])
    return Inputs("impute", genes[hidden], names, tissue.xy_um, observed, **more)


def test_reference_ridge_and_projection_learn_hidden_genes_from_cells(tmp_path, loadings):
    tissue = factor_section(tmp_path / "S1", loadings, 1, "S1")
    hidden = np.arange(0, 20)
    inputs = inputs_for(tissue, hidden, cells=reference_cells(loadings))
    keep = np.setdiff1d(np.arange(60), hidden)
    truth = tiny.log_cp10k(tissue.share[:, hidden] / tissue.share[:, keep].sum(axis=1, keepdims=True))
    skipped = {}
    got = {p.method: p.columns(np.arange(20)) for p in run_baselines(inputs, skipped)}
    assert set(got) == {"gene_mean", "reference_projection", "reference_ridge", "spage"}
    pcc = {
        m: np.mean([np.corrcoef(v[:, j], truth[:, j])[0, 1] for j in range(20)])
        for m, v in got.items()
        if m != "gene_mean"
    }
    assert pcc["reference_ridge"] > 0.85
    assert pcc["reference_projection"] > 0.35
    assert pcc["spage"] > 0.6
    assert np.abs(got["reference_projection"] - truth).mean() < 1.5  # on the scale of the measured genes


def test_spage_averages_cells_that_are_alike(tmp_path, loadings):
    """Locations that are cells themselves find themselves: their genes are means of what the reference holds."""
    tissue = factor_section(tmp_path / "S1", loadings, 1, "S1")
    cells = reference_cells(loadings)
    predicted = BASELINES["spage"](inputs_for(tissue, np.arange(20), cells=cells)).columns(np.arange(20))
    keep = cells.X[:, 20:].sum(axis=1)
    known = np.log1p(1e4 * np.asarray(cells.X[:, :20].todense()) / np.asarray(keep).reshape(-1, 1))
    assert (predicted >= 0).all() and (predicted <= known.max(axis=0) + 1e-5).all()
    blank = cells[:, :].copy()
    blank.X = sparse.csr_matrix(np.ones(cells.shape, np.float32))
    with pytest.raises(NotRunnable, match="varies in the reference"):
        BASELINES["spage"](inputs_for(tissue, np.arange(20), cells=blank))


@pytest.mark.parametrize("value", [0.01, 1.0, 4.6, 9.2, 1e4])
@pytest.mark.parametrize("n", [7, 600, 20_000])
def test_rounding_is_no_variation(value, n):
    """Columns that are zero, constant or off by one float32 step are flat at any level; one row in n is variation."""
    values = np.full((n, 4), value, np.float32)
    values[:, 0] = 0
    values[::2, 2] = np.nextafter(np.float32(value), np.float32(np.inf))
    values[0, 3] *= 1.02
    mean, scale = moments(sparse.csr_matrix(values))
    np.testing.assert_allclose(mean, values.mean(axis=0, dtype=np.float64), rtol=1e-12)
    assert (scale > 0).tolist() == [False, False, False, True]
    assert scale[3] == pytest.approx(1 / values[:, 3].std(dtype=np.float64), rel=1e-4)


def test_a_reference_without_types_is_projected_on_its_states(tmp_path, loadings):
    tissue = factor_section(tmp_path / "S1", loadings, 1, "S1")
    cells = reference_cells(loadings)
    label = cells.obs["cell_type"].to_numpy().astype(str)
    states = anndata.AnnData(
        sparse.csr_matrix(np.vstack([cells.X[label == f"T{i}"].mean(axis=0) for i in range(3)])),
        var=cells.var,
    )
    projection = BASELINES["reference_projection"]
    typed = projection(inputs_for(tissue, np.arange(20), cells=cells, states=states))
    cells.obs["cell_type"] = "unknown"
    by_state = projection(inputs_for(tissue, np.arange(20), cells=cells, states=states))
    r = np.corrcoef(*(p.columns(np.arange(20)).ravel() for p in (typed, by_state)))[0, 1]
    assert r > 0.99
    with pytest.raises(NotRunnable, match="neither"):
        projection(inputs_for(tissue, np.arange(20), cells=cells))


def test_no_baseline_sees_a_hidden_gene(tmp_path, loadings):
    """Whatever the hidden molecules are, what is predicted from the rest stays the same."""
    tissue = factor_section(tmp_path / "S1", loadings, 1, "S1")
    other = factor_section(tmp_path / "S2", loadings, 2, "S2")
    hidden = np.arange(0, 20)
    changed = tissue.counts.toarray()
    changed[:, hidden] = changed[::-1][:, hidden] * 7
    tampered = tiny.Tissue(tissue.sample, tissue.share, sparse.csr_matrix(changed), tissue.xy_um)
    section = Section.read(other.sample)
    results = []
    for source in (tissue, tampered):
        inputs = inputs_for(source, hidden, cells=reference_cells(loadings), training=[section])
        results.append({p.method: p.columns(np.arange(20)) for p in run_baselines(inputs, {})})
    assert {"cohort_ridge", "reference_ridge", "reference_projection", "spage"} <= set(results[0])
    for method in results[0]:
        np.testing.assert_array_equal(results[0][method], results[1][method])


def test_unmeasured_locations_are_no_source(tmp_path, spots):
    counts = spots.counts.toarray()
    counts[200:] = 0
    names = np.array([f"loc{i:05d}" for i in range(400)])
    genes = np.array([f"G{j:03d}" for j in range(40)])
    section = Section(names, spots.xy_um, genes, sparse.csr_matrix(counts))
    assert section.n == 200
    inputs = Inputs("histology", genes, names[200:], spots.xy_um[200:], section)
    for method in ("gene_mean", "nearest", "inverse_distance"):
        assert BASELINES[method](inputs).columns(np.arange(40)).min(axis=1).mean() > 0


def test_neighbours_speak_for_a_location_never_itself():
    xy, _, _ = tiny.square_grid(6, 10.0)
    weights = interpolation_weights(xy, xy, 4, np.arange(36))
    assert weights.diagonal().sum() == 0
    np.testing.assert_allclose(np.asarray(weights.sum(axis=1)).ravel(), 1)
    centre = weights[14].toarray().ravel()
    np.testing.assert_array_equal(np.flatnonzero(centre), [8, 13, 15, 20])
    np.testing.assert_allclose(centre[[8, 13, 15, 20]], 0.25)
    assert interpolation_weights(xy, xy, 4)[14, 14] == pytest.approx(1)  # a source at the very place
    two = interpolation_weights(np.array([[0.0, 0], [30.0, 0]]), np.array([[10.0, 0]]), 6).toarray()
    np.testing.assert_allclose(two, [[0.8, 0.2]])  # 1/10² against 1/20²
    with pytest.raises(NotRunnable):
        interpolation_weights(xy[:1], xy[:1], 6, np.array([0]))


def test_ridge_from_sums_equals_scikit_learn_and_its_penalty_is_the_best_of_its_folds():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 12)).astype(np.float32)
    y = np.maximum(x @ rng.normal(size=(12, 9)) + rng.normal(0, 3, (300, 9)), 0)
    folds = random_folds(300, seed=1)
    model = fit_ridge(x, sparse.csr_matrix(y), folds)
    penalties = 300 * np.logspace(-4, 1, 8)
    for j in range(9):
        error = np.zeros(8)
        for i, penalty in enumerate(penalties):
            for fold in range(5):
                train = folds != fold
                fitted = Ridge(penalty * train.mean()).fit(x[train], y[train, j])
                error[i] += ((fitted.predict(x[~train]) - y[~train, j]) ** 2).sum()
        assert model.penalty[j] == pytest.approx(penalties[np.argmin(error)])
        wanted = Ridge(model.penalty[j]).fit(x, y[:, j])
        np.testing.assert_allclose(model.coef[:, j], wanted.coef_, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(model.columns(x, np.array([j])).ravel(), wanted.predict(x), rtol=1e-3, atol=1e-4)


def test_folds_keep_blocks_whole():
    blocks = np.repeat(np.arange(13), 7)
    folds = block_folds(blocks, seed=2)
    assert all(len(np.unique(folds[blocks == b])) == 1 for b in range(13))
    assert sorted(np.unique(folds)) == [0, 1, 2, 3, 4]


def test_mixtures_equal_a_full_nnls():
    rng = np.random.default_rng(4)
    profiles = rng.gamma(1, 50, (4, 30))
    mixture = rng.dirichlet(np.ones(4) * 0.5, 25)
    seen = sparse.csr_matrix(rng.poisson(mixture @ profiles))
    got = _mix(profiles, seen)
    weight = 1 / np.sqrt(profiles.mean(axis=0))
    for row, values in zip(got, seen.toarray()):
        wanted, _ = nnls((profiles * weight).T, values * weight)
        np.testing.assert_allclose(row, wanted / wanted.sum(), atol=1e-6)
    assert np.abs(got - mixture).mean() < 0.05


def test_smoothing_pools_molecules(spots):
    names = np.array([f"loc{i:05d}" for i in range(400)])
    genes = np.array([f"G{j:03d}" for j in range(40)])
    section = Section(names, spots.xy_um, genes, spots.counts)
    inputs = Inputs("denoise", genes, names[100:], spots.xy_um[100:], section)
    got = BASELINES["knn_smoothing"](inputs).columns(np.array([3, 5]))
    middle = 10 * 20 + 10  # row 10, column 10: its six nearest hold the four beside it
    around = np.argsort(np.hypot(*(spots.xy_um - spots.xy_um[middle]).T), kind="stable")[:5]
    own = got[middle - 100]
    pool = spots.counts[around].toarray().sum(axis=0)
    rough = np.log1p(1e4 * pool[[3, 5]] / pool.sum())
    np.testing.assert_allclose(own, rough, atol=0.25)
    visible = BASELINES["visible"](inputs).columns(np.array([3, 5]))
    counts = spots.counts[100:].toarray()
    by_hand = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(visible, by_hand[:, [3, 5]], rtol=1e-5)


def test_a_deeply_thinned_section_still_has_its_smoothers(tmp_path):
    tissue = tiny.smooth_section(tmp_path / "S1", n=20, n_genes=20, depth=40)
    rows, skipped = scores_of(tissue, tmp_path, "denoise", n_genes=20, fraction=0.1)
    seen = anndata.read_h5ad(tmp_path / "seen" / "counts.h5ad")
    assert 0 < (seen.obs["total_counts"] == 0).sum() < 40
    assert {"visible", "knn_smoothing", "pca_smoothing"} <= set(rows)
    assert rows["knn_smoothing"]["pcc_mean"] > rows["visible"]["pcc_mean"]
    assert "visible" not in skipped


def test_principal_components_remove_noise(tmp_path):
    tissue = tiny.smooth_section(tmp_path / "S1", n=30, n_genes=60, depth=1500)
    rows, _ = scores_of(tissue, tmp_path, "denoise", n_genes=60)
    assert rows["pca_smoothing"]["pcc_mean"] > rows["visible"]["pcc_mean"] + 0.02
    assert rows["knn_smoothing"]["pcc_mean"] > rows["visible"]["pcc_mean"] + 0.02


def test_without_any_input_every_baseline_says_why():
    genes, names = np.array(["A", "B"]), np.array(["x", "y", "z"])
    skipped = {}
    inputs = Inputs("impute", genes, names, np.arange(6.0).reshape(3, 2))
    assert list(run_baselines(inputs, skipped)) == []
    assert list(skipped) == list(BASELINES) and all(skipped.values())


def test_a_training_section_of_another_species_takes_the_names_of_the_scored_one(tmp_path):
    table, other = load_table("human"), load_table("mouse")
    rows = [row for row in np.flatnonzero(table.orthologue != "") if table.symbol[row]][:30]
    human = table.symbol[rows]
    mouse = other.symbol[[other.by_id[table.orthologue[row]] for row in rows]]
    counts = np.random.default_rng(0).poisson(3, (9, 30)).astype(np.float32)
    var = pd.DataFrame({"gene_ids": table.ensembl[rows]}, index=human)
    adata = anndata.AnnData(sparse.csr_matrix(counts), var=var)
    adata.obsm["spatial_um"] = 100.0 * np.stack(np.divmod(np.arange(9), 3), 1)
    stored = SimpleNamespace(read=lambda: adata, raster_paths=[])
    section = Section.read(stored, pd.DataFrame(index=[*mouse[:20][::-1], "Nosuch"]))
    assert section.genes.tolist() == mouse[:20][::-1].tolist()
    np.testing.assert_array_equal(section.counts.toarray(), counts[:, :20][:, ::-1])
    assert Section.read(stored, var).genes.tolist() == human.tolist()

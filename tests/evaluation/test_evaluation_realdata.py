"""On real sections the baselines stand in the order that the field has measured."""

import anndata
import numpy as np
import pytest
import tiny_sections as tiny

from focus_cli.evaluation import evaluate, hold_out
from focus_cli.evaluation.truth import read_truth

pytestmark = pytest.mark.realdata


def noise_file(path, truth):
    """An estimate of nothing: what is tested are the baselines."""
    values = np.random.default_rng(0).normal(size=(truth.n, len(truth.genes))).astype(np.float32)
    return tiny.write_estimate(path, values, truth.names, truth.genes, truth.xy_um)


@pytest.fixture(scope="module")
def breast(focus_data, tmp_path_factory):
    """Two counts-only sections of one patient."""
    from focus_cli.platforms.preprocessing import preprocess

    folder = tmp_path_factory.mktemp("breast")
    return [
        preprocess(focus_data / "st_her2_breast" / "ST-cnts" / f"{name}.tsv.gz", folder / name, name, use_image=False)
        for name in ("C4", "C5")
    ]


def test_hidden_genes_come_back_from_a_section_of_the_same_patient_and_from_cells(breast, focus_data, tmp_path):
    from focus_cli.genes.reference import build_reference

    build_reference(focus_data / "scrna" / "breast_chung2017.h5ad", tmp_path / "ref")
    seen, path = tmp_path / "seen", tmp_path / "truth.h5ad"
    hold_out(breast[0].path, "impute", seen, path, n_genes=300, reference=tmp_path / "ref")
    truth = read_truth(path)
    assert len(truth.genes) == 150
    file = noise_file(tmp_path / "noise.h5ad", truth)
    scores = evaluate(
        file,
        path,
        tmp_path / "scores",
        observed=seen,
        reference=tmp_path / "ref",
        training=[breast[1].path],
    )
    rows = {row["method"]: row for row in scores["rows"]}
    assert 0.4 < rows["focus"]["ceiling_mean"] < 0.8
    assert abs(rows["focus"]["pcc_mean"]) < 0.02
    assert rows["cohort_ridge"]["pcc_mean"] > rows["reference_ridge"]["pcc_mean"] > 0.1
    assert rows["reference_projection"]["pcc_mean"] > 0.05
    assert all(row["fraction_of_ceiling"] < 1 for row in rows.values())


def test_thinned_molecules_of_a_real_section_are_better_predicted_by_pooling(breast, tmp_path):
    seen, path = tmp_path / "seen", tmp_path / "truth.h5ad"
    hold_out(breast[0].path, "denoise", seen, path, n_genes=300)
    whole = breast[0].read().X.sum()
    assert anndata.read_h5ad(seen / "counts.h5ad").X.sum() + anndata.read_h5ad(path).X.sum() == whole
    file = noise_file(tmp_path / "noise.h5ad", read_truth(path))
    rows = {row["method"]: row for row in evaluate(file, path, tmp_path / "s", observed=seen)["rows"]}
    assert rows["pca_smoothing"]["rmse_mean"] < rows["visible"]["rmse_mean"]
    assert rows["pca_smoothing"]["poisson_ll_per_umi"] > rows["visible"]["poisson_ll_per_umi"]
    assert rows["inverse_distance"]["pcc_mean"] > rows["nearest"]["pcc_mean"] > 0


@pytest.mark.slow
def test_kidney_bins_are_refined_best_by_distance_and_image_together(focus_data, tmp_path):
    from focus_cli.platforms.preprocessing import preprocess

    sample = preprocess(focus_data / "visium_hd_kidney", tmp_path / "kidney", "kidney")
    seen, path = tmp_path / "seen", tmp_path / "truth.h5ad"
    hold_out(sample.path, "refine", seen, path, truth_bin_um=24, crop=(600, 600, 3000, 3000))
    file = noise_file(tmp_path / "noise.h5ad", read_truth(path))
    rows = {row["method"]: row for row in evaluate(file, path, tmp_path / "s", observed=seen)["rows"]}
    pcc = {method: row["pcc_mean"] for method, row in rows.items()}
    assert 0.5 < rows["focus"]["ceiling_mean"] < 0.7
    assert pcc["ridge_residuals"] > pcc["inverse_distance"] > pcc["nearest"] > pcc["gene_mean"]
    assert rows["ridge_residuals"]["fraction_of_ceiling"] > 0.65

"""What a measurement of given depth reads: against the sum over a Poisson, and as rows of the scores."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import tiny_sections as tiny
from scipy.stats import poisson
from tiny_sections import expression_of, genes_of, names, rows_of

from focus_cli import keys
from focus_cli.evaluation import evaluate
from focus_cli.evaluation.depth import expected_log1p, read_at_depth
from focus_cli.evaluation.truth import read_truth


def by_sum(share: float, depth: float) -> float:
    """Mean of log1p CP10k of a Poisson count, summed over all counts that may occur."""
    count = np.arange(int(poisson.isf(1e-15, share * depth)) + 10)
    return float(poisson.pmf(count, share * depth) @ np.log1p(1e4 * count / depth))


@pytest.mark.parametrize("depth", [1.0, 40.0, 700.0, 5000.0])
def test_it_is_the_sum_over_a_poisson(depth):
    share = np.array([0.0, 1e-7, 1e-5, 3e-4, 2e-3, 0.02, 0.3])
    share = share[share * depth <= 20]
    found = expected_log1p(share[None], np.array([depth]))
    assert found.dtype == np.float32 and found.shape == (1, len(share))
    np.testing.assert_allclose(found[0], [by_sum(s, depth) for s in share], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("mean", [19.9, 20.1, 50.0, 400.0])
def test_at_large_means_it_is_the_plain_logarithm(mean):
    depth = np.array([1000.0, 20_000.0])
    share = mean / depth[:, None]
    found = expected_log1p(share, depth)
    np.testing.assert_allclose(found, np.log1p(1e4 * share), atol=0.03)
    if mean > 20:
        np.testing.assert_array_equal(found, np.log1p(1e4 * share).astype(np.float32))


def test_rare_genes_read_higher_the_deeper_the_measurement():
    depth = np.array([50.0, 200.0, 1000.0, 5000.0, 20_000.0])
    share = np.array([1e-6, 1e-5, 1e-4, 5e-4])
    found = expected_log1p(np.tile(share, (5, 1)), depth)
    assert (np.diff(found, axis=0) > 0).all()
    assert (found < np.log1p(1e4 * share)).all()  # a concave function of what scatters
    assert (np.diff(found, axis=1) > 0).all()  # and more of a gene always reads as more


def test_where_nothing_is_known_of_the_depth_the_share_itself_is_read():
    share = np.array([[1e-4, 2e-3]])
    np.testing.assert_allclose(expected_log1p(share, np.zeros(1)), np.log1p(1e4 * share), rtol=1e-6)


def test_columns_are_read_at_the_depth_of_each_location():
    share = np.array([[1e-4, 1e-3], [3e-4, 5e-3], [2e-4, 3e-3]])
    depth = np.array([500.0, 2000.0, 500.0])
    log = np.log1p(1e4 * share).astype(np.float32)
    read = read_at_depth(lambda genes: log[:, genes], depth)(np.array([1]))
    np.testing.assert_allclose(read[:, 0], [by_sum(s, d) for s, d in zip(share[:, 1], depth)], rtol=1e-4)
    flat = read_at_depth(lambda genes: log[:, genes], depth, flat=True)(np.array([1]))
    np.testing.assert_allclose(flat[:, 0], [by_sum(share[:, 1].mean(), d) for d in depth], rtol=1e-4)
    assert flat[0] == flat[2] != flat[1]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Spots of very different depth whose expression is known, held out by thinning: seen folder and truth."""
    from focus_cli.evaluation import hold_out

    folder = tmp_path_factory.mktemp("uneven")
    depth = np.random.default_rng(5).choice([150.0, 3000.0], 400)
    section = tiny.smooth_section(folder / "S1", depth=depth)
    hold_out(section.path, "denoise", folder / "seen", folder / "truth.h5ad", n_genes=20)
    return section, folder / "seen", folder / "truth.h5ad"


def estimate(section, seen, truth, path, *, exposure=True, **more):
    """The true expression as FOCUS would write it, with the molecules that it saw."""
    genes = genes_of(truth)
    file = tiny.write_estimate(path, expression_of(section, genes), names(section), genes, **more)
    if exposure:
        adata = anndata.read_h5ad(file)
        adata.obs[keys.EXPOSURE] = anndata.read_h5ad(seen / "counts.h5ad").obs[keys.TOTAL_COUNTS].to_numpy()
        adata.write_h5ad(file)
    return file


def test_a_file_of_focus_is_scored_as_it_is_and_at_the_depth_of_the_truth(uneven, tmp_path):
    section, seen, truth = uneven
    file = estimate(section, seen, truth, tmp_path / "e.h5ad")
    scores = evaluate(file, truth, tmp_path / "scores", observed=seen)
    rows = rows_of(scores)
    assert [row["method"] for row in scores["rows"]][:3] == ["focus", "focus_at_depth", "gene_mean_at_depth"]
    assert {"focus_at_depth", "gene_mean_at_depth"} <= set(scores["differences"]["scored"])
    # The truth is made of counts: the true expression fits it better when read as those were.
    assert rows["focus_at_depth"]["rmse_mean"] < rows["focus"]["rmse_mean"]
    assert rows["focus_at_depth"]["pcc_mean"] > rows["focus"]["pcc_mean"]
    # Depth alone explains a part of such a truth, and never more than expression and depth together.
    assert 0.1 < rows["gene_mean_at_depth"]["pcc_mean"] < rows["focus_at_depth"]["pcc_mean"]
    assert rows["gene_mean"]["pcc_mean"] == 0


def test_depth_is_that_of_the_hidden_molecules(tmp_path, uneven):
    """Of thinned counts the hidden part is scored: what was seen is brought to its size."""
    section, _, _ = uneven
    from focus_cli.evaluation import hold_out

    hold_out(section.path, "denoise", tmp_path / "seen", tmp_path / "t.h5ad", n_genes=20, fraction=0.8)
    file = estimate(section, tmp_path / "seen", tmp_path / "t.h5ad", tmp_path / "e.h5ad")
    evaluate(file, tmp_path / "t.h5ad", tmp_path / "scores")
    truth = read_truth(tmp_path / "t.h5ad")
    seen = anndata.read_h5ad(tmp_path / "seen" / "counts.h5ad").obs[keys.TOTAL_COUNTS].to_numpy()
    log = expression_of(section, truth.genes)
    expected = read_at_depth(lambda genes: log[:, genes], seen / 4)(np.arange(20))
    error = np.sqrt(((expected - truth.columns(np.arange(20))) ** 2).mean(axis=0))
    table = np.genfromtxt(tmp_path / "scores" / "per_gene.tsv", names=True, dtype=None, delimiter="\t", encoding=None)
    ours = table[table["method"] == "focus_at_depth"]
    assert ours["gene"].tolist() == list(truth.genes)
    np.testing.assert_allclose(ours["rmse"], error, rtol=1e-4)


@pytest.mark.parametrize("missing", ["exposure", "focus"])
def test_without_a_depth_there_are_no_such_rows(uneven, tmp_path, missing):
    section, seen, truth = uneven
    by_focus, exposure = missing != "focus", missing != "exposure"
    file = estimate(section, seen, truth, tmp_path / "e.h5ad", exposure=exposure, by_focus=by_focus)
    methods = rows_of(evaluate(file, truth, tmp_path / "scores"))
    assert not [name for name in methods if name.endswith("_at_depth")]

"""What a measurement of given depth reads: against the sum over a Poisson, and as rows of the scores."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import tiny_sections as tiny
from scipy.stats import poisson
from tiny_sections import expression_of, genes_of, names, rows_of

from focus_cli.core import keys
from focus_cli.evaluation import evaluate
from focus_cli.evaluation.stated import read_at_depth


def read_exactly(share: float, depth: float) -> float:
    """Mean of log1p CP10k of a Poisson count."""
    count = np.arange(200)
    return float(poisson.pmf(count, share * depth) @ np.log1p(1e4 * count / depth))


def test_columns_are_read_at_the_depth_of_each_location():
    share = np.array([[1e-4, 1e-3], [3e-4, 5e-3], [2e-4, 3e-3]])
    depth = np.array([500.0, 2000.0, 500.0])
    log = np.log1p(1e4 * share).astype(np.float32)
    read = read_at_depth(lambda genes: log[:, genes], depth)(np.array([1]))
    np.testing.assert_allclose(read[:, 0], [read_exactly(s, d) for s, d in zip(share[:, 1], depth)], rtol=1e-3)
    flat = read_at_depth(lambda genes: log[:, genes], depth, flat=True)(np.array([1]))
    np.testing.assert_allclose(flat[:, 0], [read_exactly(share[:, 1].mean(), d) for d in depth], rtol=1e-3)
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
    """The true expression as FOCUS would write it, at the depth of the molecules that it saw."""
    genes = genes_of(truth)
    expression = expression_of(section, genes)
    file = tiny.write_estimate(path, expression, names(section), genes, **more)
    adata = anndata.read_h5ad(file)
    depth = anndata.read_h5ad(seen / "counts.h5ad").obs[keys.TOTAL_COUNTS].to_numpy(float)
    adata.X = read_at_depth(lambda columns: expression[:, columns], depth)(np.arange(len(genes)))
    adata.layers[keys.MEAN_COUNTS] = (np.expm1(expression) / 1e4 * depth[:, None]).astype(np.float32)
    if exposure:
        adata.obs[keys.EXPOSURE] = depth
    adata.write_h5ad(file)
    return file


def test_a_file_of_focus_is_scored_with_its_depth_without_it_and_by_depth_alone(uneven, tmp_path):
    section, seen, truth = uneven
    scores = evaluate(estimate(section, seen, truth, tmp_path / "e.h5ad"), truth, tmp_path / "scores", observed=seen)
    rows = rows_of(scores)
    assert [row["method"] for row in scores["rows"]][:3] == ["focus", "focus_expression", "gene_mean_at_depth"]
    assert {"focus_expression", "gene_mean_at_depth"} <= set(scores["differences"]["scored"])
    # The truth is made of counts: the true expression fits it better when read as those were.
    assert rows["focus"]["rmse_mean"] < rows["focus_expression"]["rmse_mean"]
    assert rows["focus"]["pcc_mean"] > rows["focus_expression"]["pcc_mean"]
    # Depth alone explains a part of such a truth, and never more than expression and depth together.
    assert 0.1 < rows["gene_mean_at_depth"]["pcc_mean"] < rows["focus"]["pcc_mean"]
    assert rows["gene_mean"]["pcc_mean"] == 0


def test_known_expression_is_compared_with_expression(uneven, tmp_path):
    """Where the truth has no depth, neither has the estimate: the true expression scores 1 at any depth."""
    section, seen, truth = uneven
    file = estimate(section, seen, truth, tmp_path / "e.h5ad")
    genes = genes_of(truth)
    known = tiny.write_expected(tmp_path / "known.h5ad", expression_of(section, genes), section, genes)
    row = rows_of(evaluate(file, known, tmp_path / "scores"))["focus"]
    assert row["pcc_mean"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("missing", ["exposure", "focus"])
def test_without_a_depth_there_are_no_such_rows(uneven, tmp_path, missing):
    section, seen, truth = uneven
    by_focus, exposure = missing != "focus", missing != "exposure"
    file = estimate(section, seen, truth, tmp_path / "e.h5ad", exposure=exposure, by_focus=by_focus)
    methods = rows_of(evaluate(file, truth, tmp_path / "scores"))
    assert not [name for name in methods if name.endswith(("_at_depth", "_expression"))]

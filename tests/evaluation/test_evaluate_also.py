"""Further estimates in the same run: the same scores as in a run of their own, on the first one's locations."""

import numpy as np
import pytest
import tiny_sections as tiny
from click.testing import CliRunner
from tiny_sections import expression_of, genes_of, names

from focus_cli.cli.main import cli
from focus_cli.cli.options import named_files
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.evaluation import evaluate


@pytest.fixture
def files(spots, held, tmp_path):
    """A good estimate, a noisy one in another order, and one that lacks some locations."""
    _, truth = held["denoise"]
    genes = genes_of(truth)
    values = expression_of(spots, genes)
    noisy = values + np.random.default_rng(0).normal(0, 1, values.shape)
    order = np.random.default_rng(1).permutation(len(values))
    where = np.array(names(spots))
    for name, x, rows in (
        ("good", values, np.arange(len(values))),
        ("noisy", noisy, order),
        ("part", values, order[:380]),
    ):
        tiny.write_estimate(tmp_path / f"{name}.h5ad", x[rows], where[rows], np.array(genes), by_focus=False)
    return {"truth": truth, **{name: tmp_path / f"{name}.h5ad" for name in ("good", "noisy", "part")}}


def test_an_estimate_scores_the_same_beside_another_as_alone(files, tmp_path):
    alone = evaluate(files["noisy"], files["truth"], tmp_path / "alone", name="noisy")
    both = evaluate(files["good"], files["truth"], tmp_path / "both", name="good", also={"noisy": files["noisy"]})
    (row,) = (row for row in both["rows"] if row["method"] == "noisy")
    assert row["pcc_mean"] == pytest.approx(alone["rows"][0]["pcc_mean"])
    gap = next(iter(both["differences"].values()))["noisy"]
    assert (
        gap["pcc_mean"] > 0 and gap["lo"] > 0 and gap["ratio"] > 1 and gap["ratio_lo"] < gap["ratio"] < gap["ratio_hi"]
    )


def test_one_that_covers_more_is_scored_on_the_locations_of_the_first(files, tmp_path):
    both = evaluate(files["part"], files["truth"], tmp_path / "a", name="part", also={"good": files["good"]})
    first, second = (next(r for r in both["rows"] if r["method"] == m) for m in ("part", "good"))
    assert first["pcc_mean"] == pytest.approx(second["pcc_mean"])  # the same values at the same locations


def test_one_that_lacks_locations_is_refused(files, tmp_path):
    with pytest.raises(BadInputError, match="all locations of the first"):
        evaluate(files["good"], files["truth"], tmp_path / "a", also={"part": files["part"]})
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("texts", [["noisy"], ["=a.h5ad"], ["a="], ["a=1.h5ad", "a=2.h5ad"]])
def test_names_and_files_come_in_pairs(texts):
    with pytest.raises(UsageError):
        named_files(texts, "--also")


def test_the_option_may_be_given_many_times(files, tmp_path):
    also = [f"--also={name}={files['noisy']}" for name in ("one", "two")]
    arguments = ["evaluate", str(files["good"]), "--truth", str(files["truth"]), "--out", str(tmp_path / "s"), *also]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert {"one", "two"} <= {line.split("\t")[1] for line in (tmp_path / "s" / "scores.tsv").read_text().splitlines()}

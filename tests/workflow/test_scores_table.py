"""The scores of a run in one table."""

from __future__ import annotations

import csv

import anndata
import numpy as np
import pytest
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.workflow.scores import compare, gather_scores, sentence, summarise, table, write_scored_genes


def write_scores(folder, rows, columns=("task", "method", "genes", "pcc_mean")):
    folder.mkdir(parents=True)
    lines = ["\t".join(columns), *("\t".join(map(str, row)) for row in rows)]
    (folder / "scores.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def results(tmp_path):
    first = write_scores(
        tmp_path / "folds" / "S1.denoise" / "scores",
        [("denoise", "nearest", "all", 0.25), ("denoise", "focus", "all", 0.5)],
    )
    second = write_scores(
        tmp_path / "scores" / "S1.truth",
        [("truth", "focus", "all", 0.75), ("truth", "ridge", "all", "")],
        columns=("task", "method", "genes", "pcc_mean"),
    )
    gather_scores([first, second], tmp_path / "scores.tsv")
    return tmp_path


def test_every_row_keeps_its_fold(results):
    with open(results / "scores.tsv", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [(row["fold"], row["method"], row["pcc_mean"]) for row in rows] == [
        ("S1.denoise", "nearest", "0.25"),
        ("S1.denoise", "focus", "0.5"),
        ("S1.truth", "focus", "0.75"),
        ("S1.truth", "ridge", ""),
    ]


def scored(folder, *rows):
    """The comparisons of one table of (genes, method, score)."""
    written = write_scores(folder / "S1", [("t", method, genes, value) for genes, method, value in rows])
    gather_scores([written], folder / "out.tsv")
    return compare(folder / "out.tsv")


def test_ours_stands_beside_the_best_baseline_and_the_better_is_marked(results):
    assert [line.split() for line in table(compare(results / "scores.tsv")).splitlines()] == [
        ["comparison", "FOCUS", "best", "baseline"],
        ["S1.denoise", "0.500*", "0.250", "nearest"],
        ["S1.truth", "0.750*", "–"],
    ]


def test_a_baseline_that_wins_is_marked_too(tmp_path):
    found = scored(tmp_path, ("all", "focus", 0.1), ("all", "nearest", 0.05), ("all", "inverse_distance", 0.2))
    assert table(found).splitlines()[1].split() == ["S1", "0.100", "0.200*", "inverse", "distance"]
    assert sentence(found) == "FOCUS best in 0 of 1 comparison."


def test_gene_groups_have_lines_of_their_own(tmp_path):
    found = scored(tmp_path, ("all", "focus", 0.1), ("top50", "focus", 0.2))
    assert [line.split()[:2] for line in table(found).splitlines()[1:]] == [["S1", "[all]"], ["S1", "[top50]"]]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        # A variant of FOCUS is no baseline.
        ([("all", "focus", 0.2), ("all", "focus_expression", 0.3), ("all", "ridge", 0.1)], "1 of 1 comparison."),
        # A tie is not won, and neither is a comparison in which FOCUS has no score.
        ([("all", "focus", 0.2), ("all", "ridge", 0.2)], "0 of 1 comparison."),
        ([("all", "focus", "nan"), ("all", "ridge", -0.2)], "0 of 1 comparison."),
        ([("all", "ridge", 0.2)], "0 of 1 comparison."),
        # Without the score of a baseline there is no comparison.
        ([("a", "focus", 0.2), ("a", "ridge", ""), ("b", "focus", -0.1), ("b", "ridge", -0.2)], "1 of 1 comparison."),
        ([("a", "focus", 2), ("a", "ridge", 1), ("b", "focus", 1), ("b", "ridge", 2)], "1 of 2 comparisons."),
    ],
)
def test_the_sentence_counts_what_was_compared(tmp_path, rows, said):
    assert sentence(scored(tmp_path, *rows)) == f"FOCUS best in {said}"


def test_without_baselines_the_sentence_states_so(tmp_path):
    assert sentence(scored(tmp_path, ("all", "focus", 0.2))).startswith("No baseline was scored")


def test_the_summary_ends_with_the_sentence_and_what_to_open(results):
    for path in ("reports/S1.html", "reports/S2.html", "cohort.html"):
        (results / path).parent.mkdir(exist_ok=True)
        (results / path).touch()
    end = summarise(results).split("\n\n")[-2:]
    assert end[0] == "FOCUS best in 1 of 1 comparison."
    opened = [line.split()[0] for line in end[1].splitlines()[1:]]
    assert end[1].startswith("Open next:\n")
    assert opened == [str(results / path) for path in ("cohort.html", "reports/S1.html", "scores.tsv")]


def test_the_summary_names_every_file(results):
    for path in ("enhanced/S1.h5ad", "reports/S1.html"):
        (results / path).parent.mkdir()
        (results / path).touch()
    said = summarise(results)
    for path in ("enhanced/S1.h5ad", "reports/S1.html", "scores.tsv"):
        assert str(results / path) in said


def test_missing_or_foreign_tables_are_refused(tmp_path):
    with pytest.raises(MissingResourceError, match="no such file"):
        gather_scores([tmp_path], tmp_path / "out.tsv")
    folder = write_scores(tmp_path / "S1", [(1,)], columns=("x",))
    with pytest.raises(BadInputError, match="not a table of scores"):
        gather_scores([folder], tmp_path / "out.tsv")
    assert not (tmp_path / "out.tsv").exists()
    with pytest.raises(MissingResourceError, match="no results"):
        summarise(tmp_path / "absent")


@pytest.mark.parametrize("listed", [["G2", "G0"], None])
def test_the_genes_that_are_scored_are_listed(tmp_path, listed):
    truth = anndata.AnnData(sparse.csr_matrix(np.ones((2, 3), np.float32)))
    truth.var_names = ["G0", "G1", "G2"]
    if listed:
        truth.uns["focus_truth"] = {"task": "impute", "genes": listed}
    truth.write_h5ad(tmp_path / "truth.h5ad")
    write_scored_genes(tmp_path / "truth.h5ad", tmp_path / "genes.txt")
    assert (tmp_path / "genes.txt").read_text().split() == (listed or ["G0", "G1", "G2"])

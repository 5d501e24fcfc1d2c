"""The scores of a run in one table."""

from __future__ import annotations

import csv

import anndata
import numpy as np
import pytest
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.workflow.scores import gather_scores, summarise, table, write_scored_genes


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


def test_ours_comes_first_and_the_best_is_marked(results):
    assert [line.split() for line in table(results / "scores.tsv").splitlines()] == [
        ["focus", "nearest", "ridge"],
        ["S1.denoise", "0.500*", "0.250", "–"],
        ["S1.truth", "0.750*", "–", "–"],
    ]


def test_a_baseline_that_wins_is_marked_too(tmp_path):
    folder = write_scores(tmp_path / "S1", [("t", "focus", "all", 0.1), ("t", "ridge", "all", 0.2)])
    gather_scores([folder], tmp_path / "out.tsv")
    assert table(tmp_path / "out.tsv").splitlines()[1].split() == ["S1", "0.100", "0.200*"]


def test_long_names_stand_on_several_lines(tmp_path):
    folder = write_scores(tmp_path / "S1", [("t", "focus", "all", 0.1), ("t", "inverse_distance", "all", 0.2)])
    gather_scores([folder], tmp_path / "out.tsv")
    assert [line.split() for line in table(tmp_path / "out.tsv").splitlines()[:2]] == [
        ["inverse"],
        ["focus", "distance"],
    ]


def test_gene_groups_have_lines_of_their_own(tmp_path):
    folder = write_scores(tmp_path / "S1", [("t", "focus", "all", 0.1), ("t", "focus", "top50", 0.2)])
    gather_scores([folder], tmp_path / "out.tsv")
    assert [line.split()[:2] for line in table(tmp_path / "out.tsv").splitlines()[1:]] == [
        ["S1", "[all]"],
        ["S1", "[top50]"],
    ]


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

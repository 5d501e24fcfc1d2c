"""The collision and coverage report, and the verbs that show it."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from focus_cli.cli.main import cli
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.genes import gene_report, report_lines, report_warnings, use_gene_table
from focus_cli.genes.mangled import mangled_names

NAMES = ["TP53", "GAPDH", "SEPT2", "HER2", "HLA.A", "QARS", "1-Mar", "zzz", "SEPTIN2"]


@pytest.fixture(autouse=True)
def shipped(monkeypatch):
    monkeypatch.delenv("FOCUS_GENE_TABLE", raising=False)
    use_gene_table(None)
    yield
    use_gene_table(None)


def test_each_gene_is_counted_once_by_its_best_evidence():
    report = gene_report(pd.DataFrame(index=NAMES))
    assert report["species"] == "human" and report["n_genes"] == len(NAMES)
    assert report["recognised"] == {"id": 0, "symbol": 3, "previous": 1, "alias": 1, "spelling": 1}
    assert report["ambiguous"] == {"QARS": ["EPRS1", "QARS1"]}
    assert report["mangled"] == {"1-Mar": ["MARCH1", "MARC1"]}
    assert report["unknown"] == ["zzz"] and report["n_unknown"] == 1
    assert report["several_rows"] == {"SEPTIN2": ["SEPT2", "SEPTIN2"]}
    json.dumps(report)


def test_repeated_symbols_and_pairs_that_disagree_are_listed():
    ids = ["ENSG00000141510.3", "ENSG00000111640.1", "ENSG00000146648.9", "ENSG00000075624.2"]
    var = pd.DataFrame({"gene_ids": ids}, index=["TP53", "TP53", "GAPDH", "ACTB"])
    report = gene_report(var)
    assert report["duplicated"] == {"TP53": 2}
    assert [(d["id"], d["symbol"], d["symbol_of_id"]) for d in report["disagreements"]] == [
        ("ENSG00000146648", "GAPDH", "EGFR"),
        ("ENSG00000111640", "TP53", "GAPDH"),
    ]
    said = " ".join(report_warnings(report))
    assert "ENSG00000146648 is EGFR, not GAPDH" in said and "TP53 (2)" in said


@pytest.mark.parametrize(
    ("name", "was"),
    [
        ("1-Mar", ["MARCH1", "MARC1"]),
        ("2-Sep", ["SEPT2"]),
        ("02-SEP", ["SEPT2"]),
        ("Sep-02", ["SEPT2"]),
        ("1-Dec", ["DEC1"]),
        ("7-Sept-21", ["SEPT7"]),
        ("2021-03-01", []),
        ("3/1/2021", []),
        ("2.31E+13", []),
    ],
)
def test_what_spreadsheets_make_of_symbols_is_recognised(name, was):
    assert mangled_names([name, "GAPDH"]) == {name: was}


@pytest.mark.parametrize("name", ["MARCH1", "SEPT2", "DEC1", "MARC1", "2310009E13Rik", "Mar", "H1-0", "7SK", "5S-OT1"])
def test_symbols_are_not_taken_for_dates(name):
    assert mangled_names([name]) == {}


def test_a_reference_is_compared_by_id_symbol_and_table():
    ours = pd.DataFrame({"gene_ids": ["ENSG00000141510", "", "", ""]}, index=["TP53", "GAPDH", "SEPT2", "zzz"])
    ours = ours.iloc[[0, 0, 0, 0]].assign(gene_ids=["ENSG00000141510", "ENSG00000999991", "ENSG00000999992", ""])
    ours.index = ["TP53", "GAPDH", "SEPT2", "zzz"]
    theirs = pd.DataFrame({"gene_ids": ["ENSG00000141510.2"] + [""] * 2}, index=["p53", "GAPDH", "SEPTIN2"])
    theirs["gene_ids"] = ["ENSG00000141510.2", "ENSG00000111640", "ENSG00000168385"]
    matched = gene_report(ours, theirs)["matched"]
    assert (matched["by_id"], matched["by_symbol"], matched["by_table"]) == (1, 1, 1)
    assert matched["through_table"] == {"SEPT2": "SEPTIN2"} and matched["unmatched"] == ["zzz"]


def test_nothing_known_and_nothing_given_are_reported_too():
    for var in (pd.DataFrame(index=["a1", "b2"]), pd.DataFrame(index=pd.Index([], dtype=object))):
        report = gene_report(var)
        assert report["species"] == "" and report["recognised"] == {} and report_lines(report)
        assert report_warnings(report) == []


def run(*options):
    return CliRunner().invoke(cli, ["genes", *map(str, options)])


def test_the_verb_reads_lists_tables_and_anndata(tmp_path):
    (tmp_path / "panel.txt").write_text("\n".join(NAMES) + "\n")
    (tmp_path / "panel.csv").write_text("gene_id,gene_name\nENSG00000141510,TP53\nENSG00000111640,GAPDH\n")
    x = np.ones((2, 3), np.float32)
    anndata.AnnData(x, var=pd.DataFrame(index=["GAPDH", "SEPTIN2", "TP53"])).write_h5ad(tmp_path / "a.h5ad")
    report = json.loads(run(tmp_path / "panel.txt", "--json").output)
    assert report == gene_report(pd.DataFrame(index=NAMES))
    assert json.loads(run(tmp_path / "panel.csv", "--json").output)["recognised"]["id"] == 2
    shown = run(tmp_path / "panel.txt", "--reference", tmp_path / "a.h5ad").output
    assert "in reference" in shown and "1-Mar (was MARCH1 or MARC1?)" in " ".join(shown.split())
    before = (tmp_path / "a.h5ad").read_bytes()
    assert run(tmp_path / "a.h5ad").exit_code == 0 and (tmp_path / "a.h5ad").read_bytes() == before


def test_a_users_table_counts_by_option_and_by_variable(tmp_path, monkeypatch):
    (tmp_path / "panel.txt").write_text("MINE\nOLDMINE\nTP53\n")
    (tmp_path / "own.tsv").write_text("species\tsymbol\tprevious\nhuman\tMINE\tOLDMINE\n")
    options = (tmp_path / "panel.txt", "--json", "--species", "human")
    expected = {"id": 0, "symbol": 1, "previous": 1, "alias": 0, "spelling": 0}
    assert json.loads(run(*options, "--gene-table", tmp_path / "own.tsv").output)["recognised"] == expected
    assert json.loads(run(*options).output)["recognised"]["symbol"] == 1, "only TP53: the option is over"
    monkeypatch.setenv("FOCUS_GENE_TABLE", str(tmp_path / "own.tsv"))
    assert json.loads(run(*options).output)["recognised"] == expected


def test_what_names_no_genes_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x01" * 10)
    (tmp_path / "broken.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    (tmp_path / "folder").mkdir()
    for name in ("empty.txt", "binary.txt", "broken.h5ad", "folder"):
        refused = run(tmp_path / name).exception
        assert isinstance(refused, BadInputError) and name in refused.message and "\n" not in refused.message
    assert isinstance(run(tmp_path / "absent.txt").exception, MissingResourceError)


@pytest.mark.realdata
def test_inspect_tells_what_is_known_of_a_real_panels_genes(focus_data):
    done = CliRunner().invoke(cli, ["inspect", str(focus_data / "st_her2_breast" / "ST-cnts" / "C2.tsv.gz"), "--json"])
    report = json.loads(done.output)["gene_names"]
    assert report["species"] == "human"
    assert sum(report["recognised"].values()) > 0.98 * report["n_genes"]
    assert report["recognised"]["previous"] > 500, "genes renamed since 2019"


def test_an_id_without_an_approved_symbol_disagrees_with_none():
    """Ensembl has genes that no symbol was approved for; vendors call them by the symbol of a neighbour."""
    panel = pd.DataFrame({"gene_ids": ["ENSG00000285053", "ENSG00000284770"]}, index=["TBCE-1", "TBCE"])
    assert gene_report(panel)["disagreements"] == []

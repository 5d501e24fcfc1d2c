"""Tables that a spreadsheet may open, and that are read back."""

from __future__ import annotations

import ast
import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focus_cli.core.storage.tables import escape_cell, read_rows, unescape_cell, write_table

FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "-", "＝1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text(text):
    assert escape_cell(text)[0] == "'" and unescape_cell(escape_cell(text)) == text


@pytest.mark.parametrize("text", ["-1", "+2.5", "-1e-7", "-.5", "GENE-1", "HLA-A", "'quoted'", "", "α", "1-Mar"])
def test_numbers_and_names_stay_as_they_are(text):
    assert escape_cell(text) == text == unescape_cell(text)


@given(st.text(max_size=20))
def test_every_text_comes_back(text):
    assert unescape_cell(escape_cell(text)) == text


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12), min_size=1))
def test_a_table_comes_back(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("table") / "t.tsv"
    write_table(path, ["=name", "number"], [{"=name": t, "number": -i / 3} for i, t in enumerate(texts)])
    rows = read_rows(path)
    assert [row["=name"] for row in rows] == texts
    assert all(math.isclose(float(row["number"]), -i / 3, rel_tol=1e-6) for i, row in enumerate(rows))


def test_values_are_written_as_pandas_reads_them(tmp_path):
    rows = [{"a": -1.23456789, "b": True, "c": 7}, {"a": math.nan, "b": None, "c": pd.Series([3]).iloc[0]}]
    write_table(tmp_path / "t.csv", ["a", "b", "c"], rows, separator=",")
    assert (tmp_path / "t.csv").read_text() == "a,b,c\n-1.234568,True,7\n,,3\n"


# Tables of numbers alone, of names that FOCUS chose, and in the layouts of vendors.
_BARE = {"histology/nuclei/stage.py", "genes/make_table.py", "simulation/study.py"}


def test_no_other_writer_of_tables(repo):
    package = repo / "focus_cli"
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package).as_posix()
        if name in _BARE or name.startswith("simulation/layouts/") or name == "store/tables.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = getattr(getattr(node, "func", None), "attr", "")
            is_csv = getattr(getattr(getattr(node, "func", None), "value", None), "id", "") == "csv"
            assert not (isinstance(node, ast.Call) and called == "to_csv"), f"{name}:{node.lineno}"
            assert not (is_csv and called in ("writer", "DictWriter")), f"{name}:{node.lineno}"

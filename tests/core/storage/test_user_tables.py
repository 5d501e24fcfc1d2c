"""Small tables of the user, in the forms that editors and spreadsheet programs give them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focus_cli.analysis.heads.tables import read_table
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.user_tables import read_user_table

FORMS = {
    "tabs": "sample\tlabel\nS1\ta, b\n",
    "commas": 'sample,label\nS1,"a, b"\n',
    "semicolons": "sample;label\nS1;a, b\n",
    "a mark and CRLF": "\ufeffsample\tlabel\r\nS1\ta, b\r\n",
    "quotes": '"sample"\t"label"\n"S1"\t"a, b"\n',
    "comments": "# labels\nsample\tlabel\n# first\nS1\ta, b\n#end\n",
    "a comment names the columns": "#sample\tlabel\nS1\ta, b\n",
    "empty columns": "sample\tlabel\t\t\nS1\ta, b\t\t\n\t\t\t\n",
    "sep": "sep=;\nsample;label\nS1;a, b\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_table(tmp_path, form):
    path = tmp_path / "t.txt"
    path.write_text(FORMS[form], newline="")
    table = read_table(path, ("sample", "label"))
    assert table.to_dict("records") == [{"sample": "S1", "label": "a, b"}]
    assert FORMS[form].replace("\r", "").split("\n")[table.index[0] - 1].startswith(("S1", '"S1'))


def test_a_column_without_a_name_that_holds_something_is_kept(tmp_path):
    (tmp_path / "t.tsv").write_text("sample\tlabel\t\nS1\ta\tb\n")
    table = read_user_table(tmp_path / "t.tsv", ("sample", "label"))
    assert table.header == ["sample", "label", ""] and table.rows == [(2, ["S1", "a", "b"])]


def test_nothing_is_an_empty_header(tmp_path):
    for content in ("", "\n\n", "# a\n", "\t\t\n"):
        (tmp_path / "t.tsv").write_text(content)
        assert read_user_table(tmp_path / "t.tsv", ("sample",)).header == []
    with pytest.raises(BadInputError, match=r"no column 'sample'; its columns are \(none\)"):
        read_table(tmp_path / "t.tsv", ("sample",))


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        table = read_user_table(path, ("sample", "label"))
    except BadInputError as error:
        assert "\n" not in error.message and error.hint
    else:
        assert all(isinstance(cell, str) for _, row in table.rows for cell in row)

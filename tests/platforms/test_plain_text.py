"""Text tables with what programs put around them: read as the plain table, or refused with the cause."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from scipy import io, sparse

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.formats import plain_text
from focus_cli.platforms.formats.matrix import read_matrix
from focus_cli.platforms.formats.plain_text import open_text
from focus_cli.platforms.formats.tables import read_table, read_wide_counts, table_columns
from focus_cli.platforms.formats.text_matrix import read_text_matrix

COUNTS = np.random.default_rng(0).poisson(1.0, (9, 4))
GENES, CELLS = ["Actb", "5'-gene", "Gapdh", "Müller1"], [f"c{i}" for i in range(9)]
TABLE = pd.DataFrame(COUNTS, index=CELLS, columns=GENES)
PLAIN = TABLE.to_csv(index_label="cell")

FORMS = {
    "plain": PLAIN,
    "comments": "# counts\n# of S1\n" + PLAIN,
    "a header that is a comment": "#" + PLAIN,
    "blank lines": "\n\n" + PLAIN + "\n\n",
    "empty rows": PLAIN + ",,,,\n,,,,\n",
    "a comment at the end": PLAIN + "# written by hand\n",
    "a comma at the end": PLAIN.replace("\n", ",\n"),
    "quoted": TABLE.to_csv(index_label="cell", quoting=2),
    "single quotes": TABLE.rename(columns={GENES[1]: "5-gene"}).to_csv(index_label="cell", quoting=2, quotechar="'"),
    "semicolons": "sep=;\n" + TABLE.to_csv(index_label="cell", sep=";"),
    "tabs at the end": TABLE.to_csv(index_label="cell", sep="\t").replace("\n", "\t\n"),
    "CRLF": PLAIN.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("form", FORMS)
def test_both_readers_of_wide_tables_give_the_same_counts(tmp_path, form, encoding):
    path = tmp_path / "counts.csv"
    path.write_bytes(FORMS[form].encode(encoding))
    genes = ["Actb", "5-gene", *GENES[2:]] if form == "single quotes" else GENES
    rows, columns, values = read_text_matrix(path)
    assert (rows, columns) == (CELLS, genes)
    np.testing.assert_array_equal(values.toarray(), COUNTS)
    wide = read_wide_counts(path, ["cell"])
    assert (wide.keys["cell"].tolist(), wide.features) == (CELLS, genes)
    np.testing.assert_array_equal(wide.counts.toarray(), COUNTS)


def test_windows_1252_is_stated(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_bytes("cell,x_µm\na,1\n".encode("cp1252"))
    assert table_columns(path) == ["cell", "x_µm"]
    assert "read as Windows-1252, in which line 1 holds 'µ'" in capsys.readouterr().err


def test_what_may_belong_to_a_row_is_kept(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("cell,x,note\n#1,1,\n#2,2,\n,3,\nd,4,left\n")
    table = read_table(path, text=["cell"], numbers=["x"])
    assert table["cell"].tolist() == ["#1", "#2", "", "d"] and table["x"].tolist() == [1, 2, 3, 4]
    path.write_text("x,y,note\nc1,1,2,\nc2,3,4,left\n")  # as R writes row names
    assert read_table(path, numbers=["x", "y"])["y"].tolist() == [2, 4]


def test_a_plain_table_is_not_held_in_memory(tmp_path, monkeypatch):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(PLAIN.encode()))
    monkeypatch.setattr(plain_text, "_plain_lines", None)
    with open_text(path) as stream:
        assert stream.read().decode() == PLAIN


def test_a_table_that_is_too_large_to_convert_is_refused_or_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_text, "_RECODED_BYTES", 40)
    monkeypatch.setattr(plain_text, "_BLOCK", 16)
    path = tmp_path / "a.csv"
    path.write_text("# a\n" + PLAIN)
    with pytest.raises(BadInputError, match="a comment is before its header, and it is too large"):
        table_columns(path)
    path = tmp_path / "b.csv"
    path.write_text(PLAIN.replace("\n", ",\n"))
    with open_text(path) as stream:
        assert stream.readline().endswith(b",\n")


@pytest.mark.parametrize("form", ["quotes", "single quotes", "comments", "Windows-1252", "tabs at the end"])
def test_lists_of_a_10x_matrix(tmp_path, form):
    genes, cells = (
        ["ENSG1\tActb\tGene Expression", "ENSG2\tMüller1\tGene Expression"],
        ["AAACCC-1", "CCCGGG-1", "GGGTTT-1"],
    )
    counts = np.array([[1, 0, 2], [3, 4, 0]])
    io.mmwrite(tmp_path / "matrix.mtx", sparse.coo_matrix(counts), field="integer")
    change = {
        "quotes": lambda line: "\t".join(f'"{word}"' for word in line.split("\t")),
        "single quotes": lambda line: "\t".join(f"'{word}'" for word in line.split("\t")),
        "tabs at the end": lambda line: line + "\t",
    }.get(form, str)
    for name, lines in (("features.tsv", genes), ("barcodes.tsv", cells)):
        text = ("# list\n" if form == "comments" else "") + "".join(change(line) + "\n" for line in lines)
        (tmp_path / name).write_bytes(text.encode("cp1252" if form == "Windows-1252" else "utf-8"))
    adata = read_matrix(tmp_path)[0]
    assert list(adata.obs_names) == cells and list(adata.var_names) == ["Actb", "Müller1"]
    np.testing.assert_array_equal(adata.X.toarray(), counts.T)

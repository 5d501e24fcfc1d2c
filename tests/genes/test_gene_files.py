"""Lists of genes and panels are read the same whatever program wrote them."""

from __future__ import annotations

import gzip
import json

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.evaluation.holdout.parts import find_listed_genes
from focus_cli.genes import match_genes
from focus_cli.genes.files import read_gene_list, read_var
from focus_cli.model.priors.gene_sets import read_gene_sets

GENES = {"TP53": "ENSG00000141510", "EPCAM": "ENSG00000119888", "HLA-A": "ENSG00000206503", "CD44": "ENSG00000026508"}
SYMBOLS, IDS = list(GENES), list(GENES.values())
PANEL = pd.DataFrame({"gene_ids": IDS}, index=SYMBOLS)


def rows(head, *columns, sep=",", quote="", end="\n") -> str:
    lines = [head] if head else []
    lines += [sep.join(f"{quote}{v}{quote}" for v in row) for row in zip(*columns)]
    return end.join(lines) + end


FORMS = {
    "list": rows("", SYMBOLS),
    "list of ids": rows("", IDS),
    "list with a head": rows("gene", SYMBOLS),
    "list with a quoted head": rows('"Gene Symbol"', SYMBOLS, quote='"'),
    "list in one line": ", ".join(SYMBOLS),
    "list in one line, semicolons": ";".join(SYMBOLS) + "\n",
    "crlf": rows("Gene", SYMBOLS, end="\r\n"),
    "old mac": rows("", SYMBOLS, end="\r"),
    "comments": "# chosen by hand\nTP53\nEPCAM # epithelium\n\n  HLA-A  \nCD44\n",
    "csv": rows("symbol,ensembl_id", SYMBOLS, IDS),
    "semicolons": rows("gene_id;gene_name", IDS, SYMBOLS, sep=";"),
    "semicolons, quoted": rows('"Ensembl ID";"Gene Name"', IDS, SYMBOLS, sep=";", quote='"'),
    "tabs": rows("num_codewords\tgene_name\tgene_id", [1, 2, 3, 4], SYMBOLS, IDS, sep="\t"),
    "features of 10x": rows("", IDS, SYMBOLS, ["Gene Expression"] * 4, sep="\t"),
    "two columns without a head": rows("", SYMBOLS, IDS, sep=";"),
    "ids with versions": rows("", [f"{i}.7" for i in IDS]),
    "written by R": rows('"","x"', ['"1"', '"2"', '"3"', '"4"'], [f'"{s}"' for s in SYMBOLS]),
    "written by R with names of rows": rows('"symbol"\t"n"', SYMBOLS, SYMBOLS, [3] * 4, sep="\t"),
    "written by pandas": rows(",gene,n_cells", range(4), SYMBOLS, [9, 8, 7, 6]),
    "mixed": "TP53\nENSG00000119888\nHLA-A\nENSG00000026508\n",
    "gmt": "SET1\tabout\tTP53\tEPCAM\nSET2\tabout\tHLA-A\tCD44\tTP53\n",
}


@pytest.mark.parametrize("how", ["plain", "gzip", "bom", "utf-16"])
@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_names_the_same_genes(tmp_path, form, how):
    text = FORMS[form]
    data = text.encode({"bom": "utf-8-sig", "utf-16": "utf-16"}.get(how, "utf-8"))
    path = tmp_path / ("genes.gmt" if form == "gmt" else "genes.txt")
    path.write_bytes(gzip.compress(data) if how == "gzip" else data)
    listed = read_gene_list(path)
    assert match_genes(listed, PANEL, exclusive=False).tolist() == [0, 1, 2, 3]
    assert match_genes(read_var(path), PANEL, exclusive=False).tolist() == [0, 1, 2, 3]
    assert find_listed_genes(path, PANEL) == SYMBOLS


def target(name, kind="gene", **data) -> dict:
    return {"type": {"data": {"name": name, **data}, "descriptor": kind}, "source": {"category": "base"}}


def test_a_panel_of_xenium_gives_its_genes_without_its_controls(tmp_path):
    targets = [target(s, id=i) for s, i in GENES.items()]
    targets += [target("NegControlProbe_00042", "negative_control_probe"), target("BLANK_1", "blank_codeword")]
    (tmp_path / "gene_panel.json").write_text(json.dumps({"metadata": {}, "payload": {"targets": targets}}))
    listed = read_gene_list(tmp_path / "gene_panel.json")
    assert listed.index.tolist() == SYMBOLS and listed["gene_ids"].tolist() == IDS
    (tmp_path / "list.json").write_text(json.dumps(SYMBOLS))
    assert read_gene_list(tmp_path / "list.json").index.tolist() == SYMBOLS


def test_controls_and_proteins_of_a_matrix_are_no_genes(tmp_path):
    kinds = ["Gene Expression"] * 4 + ["Negative Control Probe", "Antibody Capture"]
    names, ids = [*SYMBOLS, "NegControlProbe_1", "CD3"], [*IDS, "NegControlProbe_1", "CD3"]
    (tmp_path / "features.tsv").write_text(rows("", ids, names, kinds, sep="\t"))
    with h5py.File(tmp_path / "matrix.h5", "w") as file:
        for name, values in (("id", ids), ("name", names), ("feature_type", kinds)):
            file[f"matrix/features/{name}"] = np.array(values, dtype="S")
    for name in ("features.tsv", "matrix.h5"):
        assert read_gene_list(tmp_path / name).index.tolist() == SYMBOLS


def test_an_anndata_names_its_genes(tmp_path):
    anndata.AnnData(np.zeros((2, 4), np.float32), var=PANEL).write_h5ad(tmp_path / "x.h5ad")
    assert read_gene_list(tmp_path / "x.h5ad").index.tolist() == SYMBOLS


def test_a_gene_without_id_goes_by_its_symbol(tmp_path):
    (tmp_path / "x.csv").write_text("gene_id,gene_name\nNA,TP53\n,EPCAM\nENSG00000206503,\nnan,CD44\n")
    listed = read_gene_list(tmp_path / "x.csv")
    assert listed.index.tolist() == ["TP53", "EPCAM", "ENSG00000206503", "CD44"]
    assert match_genes(listed, PANEL).tolist() == [0, 1, 2, 3]


def test_names_of_no_table_are_taken_by_the_letter(tmp_path):
    (tmp_path / "x.txt").write_text("G001\nProbe-7\n42\n")
    panel = pd.DataFrame(index=["G001", "G002", "Probe-7"])
    assert read_gene_list(tmp_path / "x.txt").index.tolist() == ["G001", "Probe-7", "42"]
    with pytest.raises(BadInputError, match=r"1 genes .*first 42"):
        find_listed_genes(tmp_path / "x.txt", panel)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.txt", b"", "names no gene"),
        ("b.txt", b"\n\n# nothing\n", "names no gene"),
        ("c.xlsx", b"PK\x03\x04rest", r"save it as \.csv"),
        ("d.parquet", b"PAR1rest", r"save it as \.csv"),
        ("e.txt", b"\x80\xff\x00\x01", "not a text file"),
        ("f.json", b'{"payload": 3}', "no panel"),
        ("g.json", b"[1", "not JSON"),
        ("h.h5ad", b"text", r"h\.h5ad"),
        ("i.tsv.gz", b"\x1f\x8b\x08broken", "not a text file"),
    ],
)
def test_what_names_no_gene_is_refused(tmp_path, name, content, word):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError) as refused:
        read_gene_list(tmp_path / name)
    assert pytest.importorskip("re").search(word, f"{refused.value} {refused.value.hint}")
    with pytest.raises(MissingResourceError):
        read_gene_list(tmp_path / "nowhere.txt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=200))
def test_no_content_is_a_fault(tmp_path, content):
    path = tmp_path / "any.txt"
    path.write_bytes(content)
    try:
        assert len(read_gene_list(path))
    except FocusError as error:
        assert error.hint


def test_gene_sets_are_read_with_marks_and_packed(tmp_path):
    text = "SET1\tabout\tTP53\tEPCAM\r\n"
    (tmp_path / "a.gmt").write_bytes(text.encode("utf-8-sig"))
    (tmp_path / "b.gmt.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.gmt", "b.gmt.gz"):
        assert read_gene_sets(tmp_path / name) == {"SET1": ["TP53", "EPCAM"]}

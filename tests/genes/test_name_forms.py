"""Names of genes in the forms that programs write are the same genes."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus_cli.genes import gene_report, match_genes, panel_warnings, read_gene_names, species_of, unique_names
from focus_cli.genes.forms import split_name

HUMAN = {
    "TP53": "ENSG00000141510",
    "EPCAM": "ENSG00000119888",
    "ACTB": "ENSG00000075624",
    "GAPDH": "ENSG00000111640",
    "CD44": "ENSG00000026508",
    "COL1A1": "ENSG00000108821",
    "MT-CO1": "ENSG00000198804",
    "HLA-A": "ENSG00000206503",
}
MOUSE = {"Trp53": "ENSMUSG00000059552", "Epcam": "ENSMUSG00000045394", "Actb": "ENSMUSG00000029580"}
SYMBOLS, IDS = list(HUMAN), list(HUMAN.values())
FORMS = [
    "GRCh38_{s}",
    "GRCh38-{s}",
    "GRCh38___{s}",
    "hg19_{s}",
    "hg38---{s}",
    "HUMAN_{s}",
    "GRCh38-2020-A_{s}",
    "{i}_{s}",
    "{s}_{i}",
    "{s}|{i}",
    "{i}|{s}",
    "{i}:{s}",
    "{s} ({i})",
    "{i}.12",
    "{i}_12",
    "{i}.12_{s}",
    "{s}-{i}.7",
    "GRCh38_{i}",
    "GRCh38_{i}.3",
    "{s}",
    " {s} ",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_gene(form):
    var = pd.DataFrame(index=[form.format(s=s, i=i) for s, i in HUMAN.items()])
    plain = pd.DataFrame({"gene_ids": IDS}, index=SYMBOLS)
    assert match_genes(var, plain).tolist() == list(range(len(HUMAN)))
    assert match_genes(pd.DataFrame(index=SYMBOLS), var).tolist() == list(range(len(HUMAN)))
    report = gene_report(var)
    assert report["species"] == "human" and report["n_known"] == len(HUMAN) and panel_warnings(report) == []


@pytest.mark.parametrize(
    "column", ["gene_symbols", "Gene Symbol", "gene_name", "GeneName", "features", "name", "symbol", "whatever"]
)
@pytest.mark.parametrize("index", [range(8), range(1, 9), [f"{i}.0" for i in range(8)]])
def test_a_column_of_names_stands_in_for_row_numbers(column, index):
    var = pd.DataFrame({"n_cells": np.arange(8), column: SYMBOLS}, index=[str(i) for i in index])
    assert read_gene_names(var).symbol.tolist() == SYMBOLS


def test_row_numbers_without_a_column_of_names_are_no_names():
    names = read_gene_names(pd.DataFrame({"n_cells": np.arange(8)}, index=[str(i) for i in range(8)]))
    assert set(names.symbol) == {""} and set(names.ensembl) == {""}
    report = gene_report(pd.DataFrame(index=[str(i) for i in range(8)]))
    assert "none of 8 gene names" in panel_warnings(report)[0]


@pytest.mark.parametrize("missing", [np.nan, None, "", "NA", "nan", "unknown"])
@pytest.mark.parametrize("categorical", [True, False])
def test_a_gene_without_id_goes_by_its_symbol_and_one_without_symbol_by_its_id(missing, categorical):
    ids, symbols = [*IDS[:2], missing, *IDS[3:]], [missing, *SYMBOLS[1:]]
    var = pd.DataFrame({"gene_ids": ids, "gene_symbols": symbols}, index=["x", *SYMBOLS[1:]])
    if categorical:
        var = var.astype("category")
    names = read_gene_names(var)
    assert names.ensembl[2] == "" and names.symbol[2] == "ACTB"
    assert match_genes(pd.DataFrame(index=SYMBOLS), var).tolist() == list(range(8))


def test_ids_and_symbols_in_one_column_are_both_understood():
    mixed = [*SYMBOLS[:4], *IDS[4:]]
    plain = pd.DataFrame({"gene_ids": IDS}, index=SYMBOLS)
    assert match_genes(pd.DataFrame(index=mixed), plain).tolist() == list(range(8))


@pytest.mark.parametrize("form", ["{g}_{s}", "{g}-{s}", "{g}___{s}"])
def test_a_panel_of_two_species_is_recognised_and_only_one_is_matched(form):
    names = [form.format(g="GRCh38", s=s) for s in HUMAN] + [form.format(g="mm10", s=s) for s in MOUSE]
    var = pd.DataFrame(index=names)
    report = gene_report(var)
    assert report["species_mix"] == {"human": 8, "mouse": 3} and report["n_known"] == 11
    assert "several species (human 8, mouse 3 genes)" in panel_warnings(report)[0]
    assert "--species" in panel_warnings(report)[0]
    human = pd.DataFrame(index=[*SYMBOLS, "TRP53"])
    assert match_genes(var, human).tolist() == [*range(8), -1, -1, -1]
    mouse = pd.DataFrame({"gene_ids": list(MOUSE.values())}, index=list(MOUSE))
    assert match_genes(var, mouse).tolist() == [-1] * 8 + [0, 1, 2]


def test_two_species_are_recognised_by_ids_and_by_symbols():
    by_id = pd.DataFrame({"gene_ids": [*IDS, *MOUSE.values()]}, index=[*SYMBOLS, *MOUSE])
    assert gene_report(by_id)["species_mix"] == {"human": 8, "mouse": 3}
    by_symbol = pd.DataFrame(index=["TP53", "EPCAM", "CD44", "COL1A1", "Trp53", "Epcam", "Cd44", "Col1a1"])
    assert gene_report(by_symbol)["species_mix"] == {"human": 4, "mouse": 4}


def test_names_without_a_species_are_said_to_be_unknown():
    report = gene_report(pd.DataFrame(index=[f"At1g{i:05d}" for i in range(9)]))
    assert report["n_known"] == 0
    assert panel_warnings(report)[0].startswith("none of 9 gene names are known (unknown: At1g00000, ")


def test_small_letters_tell_no_species_and_are_matched_all_the_same():
    var = pd.DataFrame(index=[s.lower() for s in SYMBOLS])
    report = gene_report(var)
    assert report["species"] == "" and "small letters" in panel_warnings(report)[0]
    assert match_genes(var, pd.DataFrame({"gene_ids": IDS}, index=SYMBOLS)).tolist() == list(range(8))
    assert gene_report(var, species="human")["n_known"] == 8


def test_mouse_symbols_in_capitals_are_mouse_genes():
    mouse = ["TRP53", "H2-K1", "H2-D1", "LY6C1", "CCL21A", "GM1673", "ACTB", "GAPDH", "1110004F10RIK", "TRP63"]
    names = read_gene_names(pd.DataFrame(index=mouse))
    assert species_of(names) == "mouse"
    assert "capitals" in panel_warnings(gene_report(pd.DataFrame(index=mouse)))[0]
    assert species_of(read_gene_names(pd.DataFrame(index=SYMBOLS))) == "human"


@pytest.mark.parametrize("mark", ["-1", ".1", "-2"])
def test_numbers_that_make_repeated_symbols_unique_are_understood(mark):
    var = pd.DataFrame(index=["TBCE", f"TBCE{mark}", "NKX2-1", "HLA-A", "H1-1", "GAPDH"])
    names = read_gene_names(var)
    assert names.symbol.tolist() == ["TBCE", "TBCE", "NKX2-1", "HLA-A", "H1-1", "GAPDH"]
    assert names.collisions == ["TBCE"]
    alone = read_gene_names(pd.DataFrame(index=["GAPDH", f"TBCE{mark}"]))
    assert alone.symbol[1] == f"TBCE{mark}"


def test_names_become_unique_by_their_ids_or_by_a_number():
    assert unique_names(["A", "B", "A", "A"], ["1", "2", "3", ""]).tolist() == ["A", "B", "3", "A-1"]
    assert unique_names(["A", "A", "A-1"]).tolist() == ["A", "A-2", "A-1"]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=20))
def test_no_text_is_a_fault(names):
    found = read_gene_names(pd.DataFrame(index=pd.Index(names, dtype=object)))
    assert len(found.symbol) == len(found.ensembl) == len(found.species) == len(names)


@given(st.sampled_from(SYMBOLS), st.text(alphabet="ABCDEFGHIKLMNOPQ0123456789-.", min_size=2, max_size=12))
def test_an_ordinary_symbol_is_left_as_it_is(one, other):
    for name in (one, "X" + other):
        assert split_name(name) == ("", name, "")


def test_a_repeated_symbol_is_stated_once_and_without_a_warning_of_a_library(tmp_path, capsys, recwarn):
    from focus_cli.genes.reference import build_reference

    rng = np.random.default_rng(0)
    names = [*SYMBOLS, "TBCE", "TBCE", "CD4", "CD8A"]
    adata = anndata.AnnData(rng.poisson(3, (60, 12)).astype(np.float32))
    adata.obs["cell_type"] = ["a", "b"] * 30
    adata.var_names = names
    recwarn.clear()
    adata.write_h5ad(tmp_path / "x.h5ad")
    built = build_reference(tmp_path / "x.h5ad", tmp_path / "out", n_states=4)
    assert built.cells.var_names.tolist() == [*SYMBOLS, "TBCE", "CD4", "CD8A"]
    np.testing.assert_array_equal(built.cells.X.toarray()[:, 8], adata.X[:, 8])
    assert capsys.readouterr().err.count("TBCE") == 1
    assert not [w for w in recwarn if "build_reference" in str(w.filename) or "/reference/" in str(w.filename)]


@pytest.mark.parametrize("by_id", [True, False])
def test_a_reference_with_numbers_for_names_is_refused(tmp_path, by_id):
    from focus_cli.core.errors import BadInputError
    from focus_cli.genes.reference import build_reference

    adata = anndata.AnnData(np.random.default_rng(0).poisson(3, (60, 8)).astype(np.float32))
    adata.obs["cell_type"] = ["a", "b"] * 30
    adata.write_h5ad(tmp_path / "numbers.h5ad")
    with pytest.raises(BadInputError, match="genes are named 0, 1, 2") as refused:
        build_reference(tmp_path / "numbers.h5ad", tmp_path / "out")
    assert "gene_symbols" in refused.value.hint
    adata.var["any name"] = IDS if by_id else SYMBOLS
    adata.write_h5ad(tmp_path / "named.h5ad")
    built = build_reference(tmp_path / "named.h5ad", tmp_path / "out", n_states=4)
    assert built.cells.var_names.tolist() == (IDS if by_id else SYMBOLS)

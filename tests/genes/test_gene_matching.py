"""One gene under many names: the strongest evidence decides, and nothing is guessed."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from focus_cli.genes import (
    Evidence,
    common_names,
    gene_table,
    load_table,
    match_genes,
    read_gene_names,
    resolve,
    species_of,
)


def table(*rows: str, ids: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"gene_ids": ids or [""] * len(rows)}, index=list(rows))


def test_old_symbols_meet_new_ones():
    source = table("SEPTIN2", "MARCHF1", "KMT2A", "GAPDH")
    assert match_genes(table("GAPDH", "MLL", "SEPT2", "MARCH1", "nothing"), source).tolist() == [3, 2, 0, 1, -1]


def test_an_alias_of_one_gene_meets_it():
    assert match_genes(table("GAPDH", "TP53", "HER2"), table("ERBB2", "GAPDH", "TP53")).tolist() == [1, 2, 0]


def test_ids_alone_meet_symbols_alone():
    ids = ["ENSG00000141510.18", "ENSG00000111640.16", "ENSG00000999999"]
    assert match_genes(pd.DataFrame(index=ids), table("GAPDH", "TP53", "ACTB")).tolist() == [1, 0, -1]
    assert match_genes(table("GAPDH", "TP53", "ACTB"), pd.DataFrame(index=ids)).tolist() == [1, 0, -1]


def test_the_spelling_of_other_programs_is_understood():
    source = table("HLA-A", "MT-CO1", "C1orf43", "GAPDH")
    assert match_genes(table("MT.CO1", "HLA.A", "C1ORF43", "GAPDH"), source).tolist() == [1, 0, 2, 3]


def test_a_name_of_several_genes_matches_none():
    assert match_genes(table("QARS", "GAPDH", "TP53"), table("QARS1", "EPRS1", "GAPDH", "TP53")).tolist() == [-1, 2, 3]


def test_a_gene_that_its_own_symbol_has_taken_is_not_given_to_an_alias():
    source = table("SEPTIN2", "GAPDH", "TP53")
    assert match_genes(table("SEPT2", "SEPTIN2", "GAPDH", "TP53"), source).tolist() == [-1, 0, 1, 2]
    assert match_genes(table("SEPT2", "SEPTIN2", "GAPDH", "TP53"), source, exclusive=False).tolist() == [0, 0, 1, 2]


def test_of_two_old_names_of_a_gene_the_better_one_counts():
    source = table("SEPTIN2", "GAPDH", "TP53")
    # NEDD5 and SEPT2 are both previous symbols: the first row of equals.
    assert match_genes(table("NEDD5", "SEPT2", "GAPDH", "TP53"), source).tolist() == [0, -1, 1, 2]
    # hNedd5 is an alias, which is weaker than a previous symbol.
    assert match_genes(table("hNedd5", "SEPT2", "GAPDH", "TP53"), source).tolist() == [-1, 0, 1, 2]


def test_equal_symbols_of_genes_whose_ids_are_known_to_differ_do_not_match():
    tp53, gapdh = "ENSG00000141510", "ENSG00000111640"
    assert match_genes(table("X", ids=[tp53]), table("X", ids=[gapdh])).tolist() == [-1]
    # An id that the table does not know may be an older one of the same gene.
    assert match_genes(table("X", ids=["ENSG00000999999"]), table("X", ids=[gapdh])).tolist() == [0]


def test_a_gene_taken_by_its_id_is_not_open_to_a_symbol():
    target = table("A", "B", ids=["ENSG00000999991", "ENSG00000999992"])
    source = table("A", "C", ids=["ENSG00000999992", "ENSG00000999993"])
    assert match_genes(target, source).tolist() == [-1, 0]


def test_what_a_spreadsheet_made_of_a_symbol_matches_nothing():
    names = ["1-Mar", "2-Sep", "GAPDH", "TP53"]
    assert match_genes(table(*names), table(*names)).tolist() == [-1, -1, 2, 3]
    assert match_genes(table(*names), table("MARCHF1", "SEPTIN2", "GAPDH", "TP53")).tolist() == [-1, -1, 2, 3]


def test_species_are_not_mixed_by_the_table():
    human, mouse = table("TP53", "GAPDH", "ACTB", "EGFR"), table("Trp53", "Gapdh", "Actb", "Egfr")
    assert match_genes(human, mouse).tolist() == [-1] * 4


@pytest.mark.parametrize(
    ("var", "species"),
    [
        (pd.DataFrame(index=["ENSG00000141510.3", "ENSG00000111640"]), "human"),
        (pd.DataFrame(index=["ENSMUSG00000059552"]), "mouse"),
        (pd.DataFrame(index=["ENSRNOG00000010756"]), "rat"),
        (pd.DataFrame(index=["ENSXYZG00000010756"]), "the species of ENSXYZG…"),
        (table("TP53", "GAPDH", "SEPT2", "odd"), "human"),
        (table("Trp53", "Gapdh", "Sept2", "odd"), "mouse"),
        (table("G1", "unknown", "things"), ""),
        (pd.DataFrame(index=["ENSG00000141510", "ENSMUSG00000059552"]), ""),
        (pd.DataFrame(index=[]), ""),
    ],
)
def test_the_species_is_told_by_ids_else_by_symbols(var, species):
    assert species_of(read_gene_names(var)) == species


def test_evidence_goes_from_ids_to_aliases():
    var = table("renamed", "GAPDH", "SEPT2", "HER2", "HLA.A", "QARS", "zzz", ids=["ENSG00000141510", *[""] * 6])
    var["gene_ids"] = var["gene_ids"].astype(str)
    names = read_gene_names(var)
    # One id among seven is no column of ids; it is stated here.
    names.ensembl[0] = ""
    names = type(names)(np.array(["ENSG00000141510", *[""] * 6]), names.symbol, [])
    rows, evidence = resolve(names, load_table("human"))
    assert [Evidence(kind).name for kind in evidence] == [
        "ID",
        "SYMBOL",
        "PREVIOUS",
        "ALIAS",
        "SPELLING",
        "AMBIGUOUS",
        "NONE",
    ]
    assert (rows[:5] >= 0).all() and (rows[5:] == -1).all()


def test_cohorts_get_common_names_and_keep_their_own_tables():
    one = table("SEPT2", "GAPDH", "TP53")
    two = table("TP53", "NEW", "SEPTIN2")
    before = two.copy()
    first, second = common_names([one, two])
    assert first is one and second.index.tolist() == ["TP53", "NEW", "SEPT2"]
    pd.testing.assert_frame_equal(two, before)
    assert common_names([one, one.copy()])[1].index.tolist() == one.index.tolist()


def test_equal_names_come_back_as_they_were():
    one, two = table("A", "B", "C"), table("C", "A", "D")
    assert common_names([one, two])[1] is two


def test_a_namesake_that_is_another_gene_gets_a_name_of_its_own():
    tp53, gapdh = "ENSG00000141510", "ENSG00000111640"
    one, two = table("X", ids=[tp53]), table("X", "Y", ids=[gapdh, tp53])
    assert common_names([one, two])[1].index.tolist() == [gapdh, "X"]


def test_matching_is_quick_deterministic_and_changes_nothing():
    known = load_table("human")
    named = [row for row in known.by_symbol.values() if known.ensembl[row]]
    chosen = np.random.default_rng(0).permutation(named)[:20_000]
    target = table(*known.symbol[chosen], ids=known.ensembl[chosen].tolist())
    source = pd.DataFrame(index=known.ensembl[chosen[::-1]])
    before = target.copy(), source.copy()
    match_genes(target.iloc[:10], table("zzz"))  # the tables are read once
    start = time.process_time()
    rows = match_genes(gene_table(target), source)
    assert time.process_time() - start < 1.0
    assert rows.tolist() == list(range(20_000))[::-1]
    symbols_only = match_genes(target[[]], source)
    assert (symbols_only == rows).all()
    pd.testing.assert_frame_equal(target, before[0])
    pd.testing.assert_frame_equal(source, before[1])

"""Gene names: whichever column or index holds them, the same gene is found, and nothing is guessed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from focus_cli.genes.reference import match_genes, read_gene_names


def ensembl(*numbers: int, version: str = "", prefix: str = "ENSG") -> list[str]:
    return [f"{prefix}{n:011d}{version}" for n in numbers]


def test_ids_are_found_in_the_index_or_in_a_column_and_lose_their_version():
    by_index = read_gene_names(pd.DataFrame({"feature_name": ["A", "B"]}, index=ensembl(1, 2, version=".12")))
    by_column = read_gene_names(pd.DataFrame({"gene_id": ensembl(1, 2, version=".3")}, index=["A", "B"]))
    for names in (by_index, by_column):
        assert names.ensembl.tolist() == ensembl(1, 2)
        assert names.symbol.tolist() == ["A", "B"]
        assert names.collisions == []


def test_mouse_ids_are_ids():
    names = read_gene_names(pd.DataFrame(index=ensembl(7, 8, prefix="ENSMUSG")))
    assert names.ensembl.tolist() == ensembl(7, 8, prefix="ENSMUSG")
    assert names.symbol.tolist() == ["", ""]


def test_a_column_called_gene_ids_that_holds_symbols_is_no_id():
    names = read_gene_names(pd.DataFrame({"gene_ids": ["A", "B"]}, index=["A", "B"]))
    assert names.ensembl.tolist() == ["", ""]
    assert names.symbol.tolist() == ["A", "B"]


def test_versions_of_one_id_collide_and_are_reported():
    var = pd.DataFrame(index=[*ensembl(1, version=".1"), *ensembl(1, version=".2"), *ensembl(2)])
    assert read_gene_names(var).collisions == ensembl(1)


def test_repeated_symbols_collide_and_the_first_row_counts():
    source = pd.DataFrame({"gene_symbols": ["A", "B", "A"]}, index=["r0", "r1", "r2"])
    assert read_gene_names(source).collisions == ["A"]
    assert match_genes(pd.DataFrame(index=["B", "A", "C"]), source).tolist() == [1, 0, -1]


def test_symbols_of_one_table_match_symbols_in_a_column_of_the_other():
    source = pd.DataFrame({"feature_name": ["A", "B", "C"]}, index=ensembl(1, 2, 3))
    assert match_genes(pd.DataFrame(index=["C", "x", "A"]), source).tolist() == [2, -1, 0]


def test_the_id_decides_where_id_and_symbol_disagree():
    target = pd.DataFrame({"gene_ids": ensembl(1, 2, version=".9")}, index=["OLD", "B"])
    source = pd.DataFrame({"gene_ids": ensembl(2, 1, version=".1")}, index=["OLD", "NEW"])
    assert match_genes(target, source).tolist() == [1, 0]


def test_missing_symbols_match_nothing():
    source = pd.DataFrame({"gene_symbols": ["A", np.nan, ""]}, index=["r0", "r1", "r2"])
    assert match_genes(pd.DataFrame(index=["nan", "", "A"]), source).tolist() == [-1, -1, 0]


def test_matching_changes_neither_table():
    target = pd.DataFrame({"gene_ids": ensembl(1)}, index=["A"])
    source = pd.DataFrame({"gene_ids": ensembl(1, version=".1")}, index=["A"])
    before = target.copy(), source.copy()
    match_genes(target, source)
    pd.testing.assert_frame_equal(target, before[0])
    pd.testing.assert_frame_equal(source, before[1])

"""The shipped table against independent knowledge, and a user's table in its place."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.genes import GeneNames, load_table, resolve, use_gene_table
from focus_cli.genes.table import AMBIGUOUS, read_gene_table

# Ensembl ids and symbols as genenames.org and informatics.jax.org state them.
HUMAN = {
    "TP53": "ENSG00000141510",
    "GAPDH": "ENSG00000111640",
    "SEPTIN2": "ENSG00000168385",
    "MARCHF1": "ENSG00000145416",
}
MOUSE = {"Trp53": "ENSMUSG00000059552", "Gapdh": "ENSMUSG00000057666"}


@pytest.fixture(autouse=True)
def shipped():
    use_gene_table(None)
    yield
    use_gene_table(None)


@pytest.mark.parametrize(("species", "known"), [("human", HUMAN), ("mouse", MOUSE)])
def test_known_genes_have_their_ids(species, known):
    table = load_table(species)
    assert {symbol: table.ensembl[table.by_symbol[symbol]] for symbol in known} == known
    assert {table.symbol[table.by_id[name]] for name in known.values()} == set(known)


def test_renamed_genes_are_found_by_their_old_symbols():
    table = load_table("human")
    for old, new in {"SEPT2": "SEPTIN2", "MARCH1": "MARCHF1", "FAM175A": "ABRAXAS1", "MLL": "KMT2A"}.items():
        assert table.symbol[table.by_previous[old]] == new
        assert old not in table.by_symbol


def test_a_symbol_that_two_genes_bore_tells_neither():
    # QARS was the symbol of what are EPRS1 and QARS1 today.
    table = load_table("human")
    assert table.by_previous["QARS"] == AMBIGUOUS
    assert table.candidates("QARS") == ["EPRS1", "QARS1"]


def test_aliases_of_one_gene_are_found_in_mouse():
    table = load_table("mouse")
    assert table.symbol[table.by_alias["p53"]] == "Trp53"
    # Two Ensembl ids, one gene of the nomenclature.
    assert table.symbol[table.by_alias["Sept2"]] == "Septin2"


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_the_table_is_whole(species):
    table, other = load_table(species), load_table({"human": "mouse", "mouse": "human"}[species])
    assert len(table) > 70_000 and (table.ensembl != "").sum() > 70_000 and (table.symbol != "").sum() > 40_000
    ids = table.ensembl[table.ensembl != ""]
    assert len(set(ids)) == len(ids), "one row for each id"
    paired = np.flatnonzero(table.orthologue != "")
    assert len(paired) > 15_000 and len(set(table.orthologue[paired])) == len(paired), "one to one"
    back = dict(zip(other.ensembl.tolist(), other.orthologue.tolist()))
    assert all(back[table.orthologue[row]] == table.ensembl[row] for row in paired), "and back again"


def test_the_shipped_tables_are_small(repo):
    assert sum(path.stat().st_size for path in (repo / "focus_cli" / "genes" / "data").iterdir()) < 3e6


def test_no_symbol_of_the_tables_is_taken_for_a_spreadsheets_date():
    from focus_cli.genes.mangled import is_mangled

    for species in ("human", "mouse"):
        table = load_table(species)
        assert not [name for name in table.by_symbol if is_mangled(name)]
        assert not [name for name in table.by_previous if is_mangled(name)]


def test_a_users_table_takes_the_place_of_its_species_alone(tmp_path):
    path = tmp_path / "own.tsv"
    path.write_text("ensembl_id\tsymbol\tprevious\talias\nENSG00000000001.4\tNEW1\tOLD1|OLDER1\tN-1\n")
    use_gene_table(path)
    table = load_table("human")
    assert table.ensembl.tolist() == ["ENSG00000000001"]
    assert table.by_previous == {"OLD1": 0, "OLDER1": 0} and table.by_alias == {"N-1": 0}
    assert len(load_table("mouse")) > 70_000
    use_gene_table(None)
    assert len(load_table("human")) > 70_000


def test_the_nomenclatures_own_download_is_understood(tmp_path):
    path = tmp_path / "hgnc_complete_set.txt"
    path.write_text(
        "hgnc_id\tsymbol\tname\talias_symbol\tprev_symbol\tensembl_gene_id\n"
        'HGNC:5\tA1BG\talpha-1-B\t"A|B"\t\tENSG00000121410\nHGNC:6\tNOID\tx\t\tWAS\t\n'
    )
    table = read_gene_table(path)["human"]
    assert table.symbol.tolist() == ["A1BG", "NOID"] and table.by_alias == {"A": 0, "B": 0}
    assert table.by_previous == {"WAS": 1}


def test_commas_two_species_and_compression(tmp_path):
    path = tmp_path / "own.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("species,symbol,ensembl_id\nhuman,A,\nmouse,a,\n")
    assert {name: table.symbol.tolist() for name, table in read_gene_table(path).items()} == {
        "human": ["A"],
        "mouse": ["a"],
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot read"),
        (b"\x1f\x8b\x08broken", "cannot read"),
        (bytes(range(256)) * 20, "cannot read"),
        (b"id\tname\nENSG00000000001\tA\n", "no column symbol"),
        (b"symbol\n\n", "no column symbol"),
        (b"symbol\tspecies\nA\trat\n", "'rat'"),
        (b"symbol\nA\tB\tC\n", "cannot read"),
        (b"symbol\nA\n", "species"),
    ],
)
def test_what_is_no_gene_table_is_refused_in_a_line(tmp_path, content, said):
    path = tmp_path / "own.tsv"
    path.write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        use_gene_table(path)
    assert said in caught.value.message and "own.tsv" in caught.value.message and "\n" not in caught.value.message
    assert caught.value.hint
    assert len(load_table("human")) > 70_000, "and the table in use is still there"


def test_a_missing_gene_table_is_named(tmp_path):
    for path in (tmp_path / "absent.tsv", tmp_path):
        with pytest.raises(MissingResourceError, match=str(path)):
            use_gene_table(path)


@pytest.mark.realdata
def test_ids_and_symbols_of_real_files_agree_with_the_table(focus_data):
    """The pairs of Space Ranger's own annotation, which the table was not made from."""
    folder = focus_data / "native"
    for features, species in (
        (folder / "visium_v2" / "filtered_feature_bc_matrix" / "features.tsv", "human"),
        (folder / "visium_v1_raw" / "raw_feature_bc_matrix" / "features.tsv", "mouse"),
    ):
        pairs = pd.read_csv(features, sep="\t", header=None, usecols=[0, 1], names=["id", "symbol"])
        table, blank = load_table(species), np.full(len(pairs), "")
        by_name = resolve(GeneNames(blank, pairs["symbol"].to_numpy(str), []), table)[0]
        by_id = resolve(GeneNames(pairs["id"].to_numpy(str), blank, []), table)[0]
        assert (by_id >= 0).all()
        assert (by_name >= 0).mean() > 0.9
        assert (by_id == by_name)[by_name >= 0].mean() > 0.97

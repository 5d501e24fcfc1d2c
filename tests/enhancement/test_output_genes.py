"""Which genes are written, in which order."""

from __future__ import annotations

import numpy as np
import pytest

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.enhancement.genes import choose_genes
from focus_cli.model.priors import SpatialPrior

PANEL = np.array(["D", "A", "C"])


@pytest.fixture
def prior():
    genes = np.array(["A", "B", "C", "D", "E"])
    return SpatialPrior(
        genes=genes,
        gene_ids=np.full(5, ""),
        baseline=np.full(5, 0.2),
        level_error=np.zeros(5, np.float32),
        loadings=np.zeros((5, 1), np.float32),
        reference_loadings=np.zeros((5, 1), np.float32),
        measured=np.isin(genes, PANEL),
        in_reference=np.ones(5, bool),
        variance=np.ones(1, np.float32),
    )


def test_the_panel_keeps_its_order(prior):
    chosen = choose_genes("measured", PANEL, prior)
    assert chosen.names.tolist() == ["D", "A", "C"] and chosen.measured.all()
    assert chosen.prior_rows.tolist() == [3, 0, 2] and chosen.panel_columns.tolist() == [0, 1, 2]


def test_inferred_genes_follow_by_name(prior):
    chosen = choose_genes("all", PANEL, prior)
    assert chosen.names.tolist() == ["D", "A", "C", "B", "E"]
    assert chosen.measured.tolist() == [True, True, True, False, False]


def test_a_file_chooses_but_does_not_order(prior, tmp_path):
    path = tmp_path / "genes.txt"
    path.write_text("E\n\n  A  \nE\nD\n")
    chosen = choose_genes(str(path), PANEL, prior)
    assert chosen.names.tolist() == ["D", "A", "E"]
    assert chosen.panel_columns.tolist() == [0, 1, -1]


def test_an_unknown_gene_is_named(prior, tmp_path):
    path = tmp_path / "genes.txt"
    path.write_text("A\nNOSUCH\n")
    with pytest.raises(UsageError, match=r"1 of 2 .*NOSUCH") as refused:
        choose_genes(str(path), PANEL, prior)
    assert "--reference" in refused.value.hint


def test_an_empty_list_is_refused(prior, tmp_path):
    path = tmp_path / "genes.txt"
    path.write_text("\n \n")
    with pytest.raises(BadInputError, match=r"genes\.txt"):
        choose_genes(str(path), PANEL, prior)

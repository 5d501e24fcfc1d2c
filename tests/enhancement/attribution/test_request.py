"""Genes and locations by the names that people give them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.enhancement.attribution.request import find_genes, find_locations

PANEL = pd.DataFrame({"gene_ids": ["ENSG00000133124", "ENSG00000141736"]}, index=["IRS4", "ERBB2"])
PRIOR = SimpleNamespace(var=pd.DataFrame({"gene_ids": ["ENSG00000091831"]}, index=["ESR1"]))


def test_genes_are_found_by_symbol_old_symbol_and_id_in_the_order_of_asking():
    asked = ["ESR1", "HER2", "ENSG00000133124", "ERBB2"]
    assert find_genes(asked, PANEL, PRIOR, None) == ["ESR1", "ERBB2", "IRS4"]


def test_an_unknown_gene_is_named():
    with pytest.raises(UsageError, match="1 of 2 genes are unknown: NOSUCH"):
        find_genes(["ESR1", "NOSUCH"], PANEL, PRIOR, None)


def test_locations_are_found_in_the_order_of_asking_and_a_stranger_is_named():
    names = np.array(["a", "b", "c"])
    assert find_locations(["c", "a", "c"], names, "S1").tolist() == [2, 0]
    assert find_locations([], names, "S1").tolist() == []
    with pytest.raises(BadInputError, match="1 of 2 locations are not in S1: x"):
        find_locations(["a", "x"], names, "S1")

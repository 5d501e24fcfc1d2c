"""Genes of a sample before it is stored: unknown names are stated, one species of several is kept."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from focus_cli.platforms.preprocessing.panel import one_species

HUMAN = ["TP53", "EPCAM", "CD44", "COL1A1", "GAPDH"]
MOUSE = ["Trp53", "Epcam", "Cd44", "Col1a1"]


def sample(names) -> anndata.AnnData:
    counts = np.arange(len(names) * 3, dtype=np.float32).reshape(3, -1)
    return anndata.AnnData(counts, var=pd.DataFrame(index=names))


@pytest.mark.parametrize("form", ["{g}_{s}", "{s}"])
def test_the_stated_species_of_a_panel_of_two_is_kept(form):
    names = [form.format(g="GRCh38", s=s) for s in HUMAN] + [form.format(g="mm10", s=s) for s in MOUSE]
    whole = sample(names)
    kept, said = one_species(whole, "Human ")
    assert kept.var_names.tolist() == names[:5] and "4 of 9 genes (mouse) were left out" in said[0]
    np.testing.assert_array_equal(kept.X, whole.X[:, :5])
    assert one_species(whole, "mouse")[0].var_names.tolist() == names[5:]
    same, said = one_species(whole, "")
    assert same is whole and "several species" in said[0] and "--species" in said[0]


def test_a_panel_of_one_species_is_left_alone():
    whole = sample(HUMAN)
    assert one_species(whole, "human") == (whole, [])
    assert one_species(whole, "sheep") == (whole, [])
    assert "genes are of human" in one_species(whole, "mouse")[1][0]


def test_unknown_names_are_stated():
    assert "none of 9 gene names are known" in one_species(sample([f"probe{i}" for i in range(9)]), "")[1][0]

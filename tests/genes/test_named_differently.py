"""Samples, models, gene sets and lists that call the same genes by other names; outputs keep the sample's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from model.training.tiny_cohort import TINY_NET, TINY_TRAINING, cells, grow, store_tissue

from focus_cli.core.storage import open_sample
from focus_cli.enhancement.genes import choose_genes
from focus_cli.genes import load_table
from focus_cli.genes.reference import build_reference, open_reference
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.priors.build import build_prior
from focus_cli.model.priors.gene_sets import set_directions
from focus_cli.model.priors.transfer import adopt_names, extend_prior, reference_states
from focus_cli.model.training import fit

NO_ID = ""


def renamed_genes(n: int) -> tuple[list[str], list[str]]:
    """Approved symbols and a previous symbol of each."""
    table = load_table("human")
    found = sorted(
        (str(table.symbol[row]), name)
        for name, row in table.by_previous.items()
        if row >= 0 and table.symbol[row] and name not in table.by_symbol and "|" not in table.previous[row]
    )
    found = [(new, old) for new, old in found if table.symbol[table.by_symbol[new]] == new]
    step = len(found) // n
    return [new for new, _ in found[: n * step : step]], [old for _, old in found[: n * step : step]]


@pytest.fixture(scope="module")
def tissue():
    return grow(side=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tissue):
    """The same section twice: under the symbols of today, and under earlier ones."""
    path = tmp_path_factory.mktemp("names")
    n = len(tissue.names)
    new, old = renamed_genes(n + 8)
    for name, symbols in (("new", new), ("old", old)):
        order = np.argsort(symbols[:n])
        named = replace(tissue, names=np.array(symbols[:n])[order], counts=tissue.counts[:, order].tocsr())
        store_tissue(path / name, named, sample_id=name, gene_ids=[NO_ID] * n)
    reference = cells()
    reference.var_names = new
    reference.write_h5ad(path / "cells.h5ad")
    build_reference(path / "cells.h5ad", path / "ref", n_states=5)
    return path, new, old


def test_a_cohort_of_old_and_new_names_is_one_panel(folder, tmp_path):
    path, new, _ = folder
    prior = build_prior([path / "new", path / "old"], tmp_path / "both", n_factors=4)
    assert prior.genes.tolist() == sorted(new[: len(prior.genes)])
    twice = [load_sample_data(open_sample(path / name)) for name in ("new", "old")]
    model, _ = fit(twice, TINY_NET, TINY_TRAINING.model_copy(update={"max_steps": 2}))
    assert model.prior.genes.tolist() == prior.genes.tolist()
    assert twice[1].names.tolist() != twice[0].names.tolist(), "the samples keep their names"


def test_a_model_takes_the_names_of_the_sample_and_keeps_its_vectors(folder, tmp_path):
    path, new, old = folder
    prior = build_prior([path / "new"], tmp_path / "p", n_factors=4)
    data = load_sample_data(open_sample(path / "old"))
    adopted = adopt_names(prior, data.genes)
    assert adopted.genes.tolist() == sorted(data.names)
    back = dict(zip(old, new))
    rows = prior.rows(np.array([back[name] for name in adopted.genes]))
    np.testing.assert_array_equal(adopted.loadings, prior.loadings[rows])
    assert extend_prior(prior, data.genes, data.panel_share(), None).genes.tolist() == adopted.genes.tolist()
    assert adopt_names(adopted, data.genes) is adopted


def test_a_reference_of_new_names_informs_a_panel_of_old_ones(folder):
    path, new, _ = folder
    panel = load_sample_data(open_sample(path / "old")).genes
    states = reference_states(open_reference(path / "ref"), panel)
    assert set(panel.index) <= set(states.genes)
    assert not set(new[: len(panel)]) & set(states.genes), "each gene once"
    assert set(new[len(panel) :]) <= set(states.genes), "what the panel does not hold keeps its name"


def test_a_namesake_in_the_reference_that_is_another_gene_lends_nothing(folder):
    """Two ids that are known to be different genes; the panel's own symbol is that of the wrong one."""
    path, *_ = folder
    table = load_table("human")
    reference = open_reference(path / "ref")
    names = reference.cells.var_names.tolist()
    right, wrong = (str(table.ensembl[table.by_symbol[name]]) for name in ("TP53", "GAPDH"))
    var = pd.DataFrame({"gene_ids": [str(table.ensembl[table.by_symbol[n]]) for n in names]}, index=names)
    panel = var.iloc[:30].copy()
    panel.loc["SAME"], var = [right], var.rename(index={names[-1]: "SAME"})
    var.loc["SAME", "gene_ids"] = wrong
    cells_ = reference.cells.copy()
    cells_.var = var
    states = reference_states(type("R", (), {"cells": cells_, "prototypes": reference.prototypes})(), panel)
    assert "SAME" not in states.genes


def test_gene_sets_are_found_under_their_old_names(folder, tmp_path):
    _, new, old = folder
    table = pd.DataFrame({"gene_ids": ""}, index=sorted(new))
    now, then = (set_directions({"A": names[:6], "B": names[4:12]}, table) for names in (new, old))
    np.testing.assert_array_equal(now, then)
    ids = [str(load_table("human").ensembl[load_table("human").by_symbol[name]]) for name in new[:6]]
    np.testing.assert_array_equal(set_directions({"A": ids}, table)[0], now[0])


def test_a_list_of_genes_may_use_other_names_and_the_file_keeps_its_own(folder, tmp_path):
    path, new, old = folder
    prior = build_prior([path / "new"], tmp_path / "p", n_factors=4)
    panel = prior.genes
    asked = [dict(zip(new, old))[name] for name in panel[:3]]
    (tmp_path / "list.txt").write_text("\n".join([*asked, panel[5]]))
    chosen = choose_genes(str(tmp_path / "list.txt"), panel, prior)
    assert chosen.names.tolist() == [*panel[:3], panel[5]]

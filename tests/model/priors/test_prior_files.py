"""A prior of its own: fitted on tissue, cells or gene sets, stored, read by people and by training."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from model.training.tiny_cohort import TINY_NET, TINY_TRAINING, grow, store_tissue, write_cells

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.storage import open_sample
from focus_cli.genes.reference import build_reference
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.priors import fit_prior, read_prior
from focus_cli.model.priors.build import build_prior
from focus_cli.model.priors.gene_sets import read_gene_sets
from focus_cli.model.training import fit, load_model, save_model


@pytest.fixture(scope="module")
def tissue():
    return grow()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tissue):
    """A sample, a reference and a file of gene sets."""
    path = tmp_path_factory.mktemp("prior")
    store_tissue(path / "S1", tissue)
    build_reference(write_cells(path / "cells.h5ad"), path / "ref", n_states=8)
    with_first = [name for name, row in zip(tissue.names, tissue.loadings) if row[0]]
    lines = [
        "FIRST\tsource\t" + "\t".join(with_first),
        "SMALL\t\tG001\tG002",
        "OTHER\t\t" + "\t".join(["X1", "X2", "X3"]),
    ]
    (path / "sets.gmt").write_text("\n".join(lines) + "\n")
    return path


def explained(prior, names, direction) -> float:
    """How much of a direction over genes the span of the gene vectors holds, 0 to 1."""
    weight = (prior.loadings * prior.baseline[:, None] ** 0.5)[prior.rows(names)]
    q = np.linalg.qr(weight)[0]
    unit = direction / np.linalg.norm(direction)
    return float(np.linalg.norm(q.T @ unit))


def test_what_is_written_is_what_is_read_and_what_fitting_gives(folder, tissue, tmp_path):
    build_prior([folder / "S1"], tmp_path / "p", n_factors=4, reference=folder / "ref", seed=2)
    read = read_prior(tmp_path / "p")
    from focus_cli.genes.reference import open_reference

    fitted = fit_prior([tissue.for_prior], 4, reference=open_reference(folder / "ref"), seed=2)
    for name in ("genes", "gene_ids", "baseline", "loadings", "reference_loadings", "measured", "in_reference"):
        np.testing.assert_array_equal(getattr(read, name), getattr(fitted, name))


def test_same_inputs_same_bytes(folder, tmp_path):
    for name in ("a", "b"):
        build_prior([folder / "S1"], tmp_path / name, n_factors=4)
    for file in (keys.PRIOR_JSON, keys.PRIOR_ARRAYS, keys.FACTORS_TSV):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_table_for_people_names_the_genes_of_each_factor(folder, tissue, tmp_path):
    build_prior([folder / "S1"], tmp_path / "p", n_factors=2)
    table = pd.read_csv(tmp_path / "p" / keys.FACTORS_TSV, sep="\t")
    assert set(table["direction"]) <= {"up", "down"} and (table["rank"] >= 1).all()
    moved = set(tissue.names[(tissue.loadings != 0).any(axis=1)])
    leading = table[table["rank"] <= 5]
    assert (leading["gene"].isin(moved)).mean() > 0.9


def test_cells_alone_give_the_factors_of_their_states(folder, tissue, tmp_path):
    prior = build_prior([], tmp_path / "p", reference=folder / "ref", n_factors=3)
    assert not prior.measured.any() and prior.in_reference.any()
    share = tissue.share.mean(axis=0)
    for factor in range(2):
        direction = tissue.loadings[:, factor] * share**0.5
        assert explained(prior, tissue.names, direction) > 0.8
    assert np.isfinite(prior.loadings).all() and prior.baseline.sum() == pytest.approx(1)


def test_gene_sets_draw_the_factors_to_them(folder, tissue, tmp_path):
    rng = np.random.default_rng(4)
    odd = tissue.names[np.sort(rng.choice(len(tissue.names), 9, replace=False))]
    (tmp_path / "odd.gmt").write_text("ODD\t\t" + "\t".join(odd) + "\n")
    share = tissue.share.mean(axis=0)
    direction = np.isin(tissue.names, odd) * share**0.5
    plain = build_prior([folder / "S1"], tmp_path / "a", n_factors=3)
    drawn = build_prior([folder / "S1"], tmp_path / "b", n_factors=3, gene_sets=tmp_path / "odd.gmt")
    assert explained(drawn, tissue.names, direction) > explained(plain, tissue.names, direction)


def test_training_takes_a_prior_and_a_models_folder_is_one(folder, tmp_path):
    prior = build_prior([folder / "S1"], tmp_path / "p", n_factors=4, seed=1)
    data = load_sample_data(open_sample(folder / "S1"))
    model, log = fit([data], TINY_NET, TINY_TRAINING, prior=read_prior(tmp_path / "p"))
    np.testing.assert_array_equal(model.prior.loadings, prior.loadings)
    save_model(tmp_path / "model", model, log)
    np.testing.assert_array_equal(read_prior(tmp_path / "model").loadings, prior.loadings)
    np.testing.assert_array_equal(load_model(tmp_path / "model").prior.loadings, prior.loadings)


def test_a_prior_of_other_genes_is_refused_by_training(folder, tmp_path):
    from dataclasses import replace

    prior = build_prior([folder / "S1"], tmp_path / "p", n_factors=4)
    # Of other names and other ids: equal ids would be the same genes under whatever name.
    other = replace(prior, genes=np.array([f"X{name}" for name in prior.genes]), gene_ids=np.full(len(prior.genes), ""))
    with pytest.raises(BadInputError, match="shares 0 genes"):
        fit([load_sample_data(open_sample(folder / "S1"))], TINY_NET, TINY_TRAINING, prior=other)


def test_gene_sets_are_read_as_they_stand(folder):
    sets = read_gene_sets(folder / "sets.gmt")
    assert list(sets) == ["FIRST", "SMALL", "OTHER"] and sets["SMALL"] == ["G001", "G002"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no gene set"),
        ("A\tdescription\n", "line 1 holds no gene"),
        ("A\t\tG001\nA\t\tG002\n", "comes twice"),
        ("A\t\tX1\tX2\tX3\tX4\n", "none of the 1 gene sets"),
    ],
    ids=["empty", "no-genes", "twice", "unknown"],
)
def test_gene_sets_that_say_nothing_are_refused(folder, tmp_path, text, said):
    (tmp_path / "s.gmt").write_text(text)
    with pytest.raises(BadInputError, match=said):
        build_prior([folder / "S1"], tmp_path / "p", gene_sets=tmp_path / "s.gmt")
    assert not (tmp_path / "p").exists()


def test_what_cannot_be_fitted_is_refused_before_work(folder, tmp_path):
    with pytest.raises(UsageError, match="samples, a reference"):
        build_prior([], tmp_path / "p", gene_sets=folder / "sets.gmt")
    with pytest.raises(MissingResourceError, match="nowhere"):
        build_prior([folder / "S1"], tmp_path / "p", gene_sets=tmp_path / "nowhere.gmt")
    (tmp_path / "p").mkdir()
    with pytest.raises(OutputExistsError):
        build_prior([folder / "S1"], tmp_path / "p")


@pytest.mark.parametrize("damage", ["names", "version", "arrays", "json"])
def test_a_damaged_prior_is_refused(folder, tmp_path, damage):
    build_prior([folder / "S1"], tmp_path / "p", n_factors=3)
    named = json.loads((tmp_path / "p" / keys.PRIOR_JSON).read_text())
    if damage == "arrays":
        (tmp_path / "p" / keys.PRIOR_ARRAYS).write_bytes(b"\x00" * 64)
    elif damage == "json":
        (tmp_path / "p" / keys.PRIOR_JSON).write_text("{")
    else:
        named |= {"genes": named["genes"][1:]} if damage == "names" else {"schema_version": 99}
        (tmp_path / "p" / keys.PRIOR_JSON).write_text(json.dumps(named))
    with pytest.raises(BadInputError):
        read_prior(tmp_path / "p")


def test_the_reference_knows_how_far_its_levels_are_off(folder, tissue, tmp_path):
    """Genes of the panel say it; those that only the reference knows carry it."""
    prior = build_prior([folder / "S1"], tmp_path / "p", reference=folder / "ref", n_factors=4)
    assert (prior.level_error[prior.measured] == 0).all()
    errors = np.unique(prior.level_error[~prior.measured])
    assert len(errors) == 1 and 0.02 < errors[0] < 1.5

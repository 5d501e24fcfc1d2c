"""Model, reference and sample of different species: one-to-one orthologues, and the refusal where they are off."""

from __future__ import annotations

import shutil
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from model.training.tiny_cohort import TINY_TRAINING, cells, grow, store_tissue

from focus_cli.core.errors import BadInputError
from focus_cli.enhancement import enhance
from focus_cli.enhancement.stage import EnhanceOptions
from focus_cli.genes import gene_table, load_table, require_one_species, to_species, to_species_of
from focus_cli.genes.reference import build_reference, open_reference
from focus_cli.model.priors import SpatialPrior, adopt_names
from focus_cli.model.priors.build import build_prior
from focus_cli.model.training import train


def pairs(n: int) -> tuple[list[str], list[str]]:
    """Symbols of genes and of their orthologues, human and mouse."""
    human, mouse = load_table("human"), load_table("mouse")
    rows = np.flatnonzero((human.orthologue != "") & (human.symbol != ""))
    both = [
        (str(human.symbol[row]), str(mouse.symbol[mouse.by_id[human.orthologue[row]]]))
        for row in rows
        if human.by_symbol[str(human.symbol[row])] == row
    ]
    both = [(h, m) for h, m in sorted(both) if m and h != m and mouse.orthologue[mouse.by_symbol[m]]]
    step = len(both) // n
    chosen = both[: step * n : step]
    return [h for h, _ in chosen], [m for _, m in chosen]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A human section and mouse cells, which are the same genes but for their names."""
    folder = tmp_path_factory.mktemp("species")
    tissue, reference = grow(side=8), cells()
    human, mouse = pairs(reference.n_vars)
    store_tissue(folder / "S1", replace(tissue, names=np.array(human[: len(tissue.names)])), gene_ids=None)
    counts = anndata.read_h5ad(folder / "S1" / "counts.h5ad")
    counts.var["gene_ids"] = [load_table("human").ensembl[load_table("human").by_symbol[n]] for n in counts.var_names]
    counts.write_h5ad(folder / "S1" / "counts.h5ad")
    reference.var_names = mouse
    reference.write_h5ad(folder / "mouse.h5ad")
    reference.var_names = human
    reference.write_h5ad(folder / "human.h5ad")
    return folder, human, mouse


def test_known_pairs():
    human, mouse = load_table("human"), load_table("mouse")
    for one, other in (("TP53", "Trp53"), ("ERBB2", "Erbb2"), ("ACTB", "Actb"), ("EPCAM", "Epcam")):
        row = human.by_symbol[one]
        assert mouse.symbol[mouse.by_id[human.orthologue[row]]] == other


def test_genes_without_a_single_orthologue_are_left_out():
    _, names = pairs(12)
    var = pd.DataFrame(index=[*names, "Hbb-bs", "nothing"])
    kept, renamed, told = to_species(var, "human", "x.h5ad")
    assert kept.tolist() == list(range(12)) and renamed.index.tolist() == names
    assert renamed["gene_symbols"].tolist() == pairs(12)[0]
    assert renamed["source_gene_symbols"].tolist() == names
    assert told == {"from": "mouse", "to": "human", "n_genes": 14, "n_orthologues": 12}


def test_of_two_rows_for_one_gene_the_better_named_stands_for_it():
    _, names = pairs(12)
    table = load_table("mouse")
    row = next(row for name, row in table.by_alias.items() if row >= 0 and table.symbol[row] == "Trp53")
    alias = next(name for name, at in table.by_alias.items() if at == row and name not in table.by_symbol)
    kept, _, _ = to_species(pd.DataFrame(index=[alias, "Trp53", *names]), "human", "x")
    assert 0 not in kept and 1 in kept


def test_the_same_species_is_left_as_it_is():
    var = pd.DataFrame(index=["TP53", "GAPDH", "ERBB2"])
    kept, renamed, told = to_species(var, "human", "x")
    assert renamed is var and len(kept) == 3 and told["n_orthologues"] == 3


@pytest.mark.parametrize("names", [["a", "b", "c"], ["ENSRNOG00000010756", "ENSRNOG00000010757"]])
def test_a_species_without_a_table_cannot_be_taken_across(names):
    with pytest.raises(BadInputError, match="human and mouse only"):
        to_species(pd.DataFrame(index=names), "human", "x.h5ad")


def test_the_refusal_without_orthologues_names_both_species_and_the_way_out(monkeypatch):
    human, mouse = (pd.DataFrame(index=names) for names in pairs(20))
    require_one_species(human, mouse, "the sample's species", "the reference's")
    monkeypatch.setenv("FOCUS_ORTHOLOGUES", "off")
    with pytest.raises(BadInputError) as caught:
        require_one_species(human, mouse, "the sample's species", "the reference's")
    assert "human" in caught.value.message and "mouse" in caught.value.message and "\n" not in caught.value.message
    assert "allow orthologues" in caught.value.hint
    require_one_species(human, pd.DataFrame(index=["a", "b"]), "one", "other")
    require_one_species(human, human, "one", "other")


def test_a_species_without_orthologues_is_refused():
    human, rat = pd.DataFrame(index=pairs(20)[0]), pd.DataFrame(index=[f"ENSRNOG0000001{n}756" for n in range(20)])
    with pytest.raises(BadInputError, match="rat") as caught:
        to_species_of(human, rat, "the sample", "the reference")
    assert "orthologues" not in caught.value.hint


def test_a_prepared_reference_of_another_species_is_refused_without_orthologues(study, tmp_path, monkeypatch):
    folder, *_ = study
    monkeypatch.setenv("FOCUS_ORTHOLOGUES", "off")
    build_reference(folder / "mouse.h5ad", tmp_path / "ref", n_states=5)
    assert open_reference(tmp_path / "ref").info["species"] == "mouse"
    with pytest.raises(BadInputError, match=r"is human and the reference('s)? is mouse"):
        build_prior([folder / "S1"], tmp_path / "prior", reference=tmp_path / "ref")
    with pytest.raises(BadInputError, match=r"is human and the reference('s)? is mouse"):
        enhance(folder / "S1", tmp_path / "a.h5ad", model="self", reference=tmp_path / "ref", **quick())
    assert not (tmp_path / "a.h5ad").exists() and not (tmp_path / "prior").exists()


def quick() -> dict:
    return {"training_options": {"max_steps": 2}, "options": EnhanceOptions(device="cpu", layers=())}


def test_orthologues_do_what_the_reference_of_the_own_species_would(study, tmp_path):
    folder, human, _ = study
    build_reference(folder / "mouse.h5ad", tmp_path / "across", n_states=5, orthologues="human")
    across = open_reference(tmp_path / "across")
    assert across.info["orthologues"]["n_orthologues"] == len(human) and across.info["species"] == "human"
    assert across.cells.var["gene_symbols"].tolist() == human
    build_reference(folder / "human.h5ad", tmp_path / "own", n_states=5)
    one, two = (
        build_prior([folder / "S1"], tmp_path / f"p-{name}", n_factors=4, reference=tmp_path / name)
        for name in ("across", "own")
    )
    assert one.genes.tolist() == two.genes.tolist()
    np.testing.assert_array_equal(one.reference_loadings, two.reference_loadings)


def test_a_prepared_reference_of_another_species_serves_as_its_orthologues(study, tmp_path, capsys):
    folder, *_ = study
    build_reference(folder / "mouse.h5ad", tmp_path / "mouse", n_states=5)
    build_reference(folder / "human.h5ad", tmp_path / "human", n_states=5)
    one, two = (
        build_prior([folder / "S1"], tmp_path / f"p-{name}", n_factors=4, reference=tmp_path / name)
        for name in ("mouse", "human")
    )
    assert "the reference is mouse and the sample is human" in capsys.readouterr().err
    assert one.genes.tolist() == two.genes.tolist()
    np.testing.assert_array_equal(one.reference_loadings, two.reference_loadings)


def test_enhance_uses_a_reference_of_the_other_species(study, tmp_path):
    folder, human, mouse = study
    options = quick()
    out = tmp_path / "a.h5ad"
    enhance(folder / "S1", out, model="self", reference=folder / "mouse.h5ad", **options)
    written = anndata.read_h5ad(out)
    assert set(written.var_names) <= set(human) and not set(written.var_names) & set(mouse)
    assert (~written.var["measured"]).sum() == len(human) - written.var["measured"].sum() > 0
    sample = anndata.read_h5ad(folder / "S1" / "counts.h5ad")
    assert written.var_names[written.var["measured"]].tolist() == sample.var_names.tolist()
    assert TINY_TRAINING.max_steps


@pytest.fixture(scope="module")
def across(study, tmp_path_factory):
    """A human model, the section it was trained on, and the same section under the names of mouse genes."""
    folder, human, mouse = study
    base = tmp_path_factory.mktemp("across")
    enhancing = {"options": EnhanceOptions(device="cpu")} | {"model": base / "model"}
    train([folder / "S1"], base / "model", max_steps=2, device="cpu")
    shutil.copytree(folder / "S1", base / "S1")
    counts = anndata.read_h5ad(base / "S1" / "counts.h5ad")
    counts.var_names = [mouse[human.index(name)] for name in counts.var_names]
    table = load_table("mouse")
    counts.var["gene_ids"] = [table.ensembl[table.by_symbol[name]] for name in counts.var_names]
    if "gene_symbols" in counts.var:
        counts.var["gene_symbols"] = counts.var_names.to_numpy(str)
    counts.write_h5ad(base / "S1" / "counts.h5ad")
    return folder / "S1", base / "S1", base / "model", enhancing


@pytest.mark.parametrize("adapt", [0, 2])
def test_a_human_model_serves_a_mouse_section_bitwise_as_the_human_one(across, tmp_path, capsys, adapt):
    human, mouse, model, _ = across
    options = EnhanceOptions(device="cpu", adapt=adapt)
    enhance(human, tmp_path / "human.h5ad", model=model, options=options)
    assert "orthologues" not in capsys.readouterr().err
    enhance(mouse, tmp_path / "mouse.h5ad", model=model, options=options)
    line = [line for line in capsys.readouterr().err.splitlines() if "orthologues" in line]
    assert len(line) == 1 and "the model is human and the sample is mouse" in line[0] and "100.0%" in line[0]
    one, two = (anndata.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("human", "mouse"))
    own = anndata.read_h5ad(mouse / "counts.h5ad").var_names.tolist()
    assert two.var_names[two.var["measured"]].tolist() == own
    n = len(own)
    for name in ("X", "expression", "std"):
        a, b = (f.X if name == "X" else f.layers.get(name) for f in (one, two))
        if a is not None:
            a, b = (v.toarray() if hasattr(v, "toarray") else np.asarray(v) for v in (a, b))
            np.testing.assert_array_equal(a[:, :n], b[:, :n])
    assert two.uns["focus"] is not None


def test_without_orthologues_a_model_of_another_species_is_refused(across, tmp_path, monkeypatch):
    _, mouse, _, enhancing = across
    monkeypatch.setenv("FOCUS_ORTHOLOGUES", "off")
    with pytest.raises(BadInputError, match="the sample is mouse and the model is human"):
        enhance(mouse, tmp_path / "a.h5ad", **enhancing)
    assert not (tmp_path / "a.h5ad").exists()


def test_a_prior_across_keeps_only_genes_with_an_orthologue():
    human, mouse = pairs(12)
    names = np.array(sorted([*human, "GAPDHX", "nothing"]))
    n = len(names)
    values = np.arange(n, dtype=np.float64) + 1
    prior = SpatialPrior(
        genes=names, gene_ids=np.full(n, ""), baseline=values, level_error=values.astype(np.float32),
        loadings=np.repeat(values[:, None], 2, 1).astype(np.float32), reference_loadings=np.zeros((n, 2), np.float32),
        measured=np.ones(n, bool), in_reference=np.zeros(n, bool), variance=np.ones(2, np.float32),
    )  # fmt: skip
    found = adopt_names(prior, gene_table(pd.DataFrame(index=mouse)))
    assert found.genes.tolist() == sorted(mouse)
    for one, other in zip(human, mouse):
        assert found.baseline[found.rows(np.array([other]))[0]] == prior.baseline[prior.rows(np.array([one]))[0]]

"""``focus enhance`` refuses before it works, and writes nothing then; what is missing it prepares."""

from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pytest
from enhancement.enhancing import run
from model.training.tiny_cohort import (
    N_GENES,
    N_OUTSIDE,
    grow,
    store_tissue,
    write_cells,
)

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.enhancement import enhance
from focus_cli.enhancement.stage import EnhanceOptions
from focus_cli.genes import load_table
from focus_cli.platforms.preprocessing.options import PreprocessOptions


def test_an_existing_output_is_refused_before_work(tmp_path):
    for name in ("a.h5ad", "fine.h5ad"):
        (tmp_path / name).write_text("precious")
    with pytest.raises(OutputExistsError, match=r"a\.h5ad"):
        enhance(tmp_path / "nowhere", tmp_path / "a.h5ad")
    with pytest.raises(OutputExistsError, match=r"fine\.h5ad"):
        enhance(
            tmp_path / "nowhere",
            tmp_path / "new.h5ad",
            refined=tmp_path / "fine.h5ad",
            options=EnhanceOptions(resolution_um=20),
        )
    assert (tmp_path / "a.h5ad").read_text() == "precious"


@pytest.mark.parametrize(
    ("out", "refined", "options"),
    [
        ("a.h5ad", "b.h5ad", {}),
        ("a.h5ad", None, {"resolution_um": 20.0}),
        ("a.h5ad", "a.h5ad", {"resolution_um": 20.0}),
        ("a.csv", None, {}),
        ("a.h5ad", None, {"layers": ("nosuch",)}),
        ("a.h5ad", None, {"genes": "nosuch.txt"}),
        ("a.h5ad", None, {"adapt": 5, "histology_only": True}),
        ("a.h5ad", None, {"ablate": ("colour=drop",)}),
    ],
    ids=["no-resolution", "no-refined", "same-file", "suffix", "layer", "genes-file", "adapt-to-nothing", "ablate"],
)
def test_options_that_make_no_sense_are_refused_before_work(tmp_path, out, refined, options):
    with pytest.raises(UsageError):
        enhance(
            tmp_path / "nowhere",
            tmp_path / out,
            refined=refined and tmp_path / refined,
            options=EnhanceOptions(**options),
        )
    assert not list(tmp_path.iterdir())


def test_inputs_that_are_not_there_are_refused(cohort, tmp_path):
    with pytest.raises(MissingResourceError):
        enhance(cohort.sample, tmp_path / "a.h5ad", model=tmp_path / "nowhere")
    with pytest.raises(MissingResourceError):
        enhance(cohort.sample, tmp_path / "a.h5ad", model=cohort.model, reference=tmp_path / "nowhere.h5ad")
    assert not list(tmp_path.iterdir())


def test_an_unknown_gene_of_a_list_is_named_and_nothing_is_written(cohort, tmp_path):
    (tmp_path / "genes.txt").write_text("G001\nNOSUCH\n")
    with pytest.raises(UsageError, match="NOSUCH"):
        run(cohort, tmp_path / "a.h5ad", genes=str(tmp_path / "genes.txt"))
    assert [p.name for p in tmp_path.iterdir()] == ["genes.txt"]


def test_a_reference_file_is_prepared_on_the_way(cohort, tmp_path):
    enhance(cohort.sample, tmp_path / "a.h5ad", model=cohort.model, reference=write_cells(tmp_path / "cells.h5ad"))
    written = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert keys.STATE_ATTENTION in written.obsm and written.n_vars == N_GENES + N_OUTSIDE


def test_a_model_of_other_genes_is_refused_before_anything_is_written(cohort, tmp_path):
    mouse = grow(side=6)
    mouse = replace(mouse, names=np.array([f"Mouse{j}" for j in range(N_GENES)]))
    sample = store_tissue(tmp_path / "S1", mouse, gene_ids=[""] * N_GENES)
    with pytest.raises(BadInputError, match="contains 0 of the 36 genes"):
        enhance(sample, tmp_path / "a.h5ad", model=cohort.model)
    assert not (tmp_path / "a.h5ad").exists()


def test_a_model_is_trained_on_the_section_where_it_is_asked_for(tmp_path):
    sample = store_tissue(tmp_path / "S1", grow(side=6))
    options = EnhanceOptions(device="cpu")
    enhance(sample, tmp_path / "a.h5ad", model="self", options=options, training_options={"max_steps": 2})
    written = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert written.shape == (36, N_GENES) and np.isfinite(written.X).all()


def test_a_reference_that_cannot_be_used_is_refused_before_a_raw_sample_is_prepared(tmp_path, monkeypatch):
    def never(*args, **how):
        raise AssertionError("the sample was prepared")

    monkeypatch.setattr("focus_cli.platforms.preprocessing.stage.keep_locations", never)
    rng, names = np.random.default_rng(0), [name for name in load_table("human").symbol.tolist() if name][:200]
    raw = anndata.AnnData(rng.poisson(2.0, (36, 200)).astype(np.float32))
    raw.var_names = names
    raw.obsm["spatial"] = 100.0 * np.stack(np.divmod(np.arange(36), 6), 1)
    raw.write_h5ad(tmp_path / "raw.h5ad")
    scaled = anndata.AnnData(rng.normal(size=(30, 200)).astype(np.float32))
    scaled.var_names = names
    scaled.write_h5ad(tmp_path / "scaled.h5ad")
    how = {"preparation": PreprocessOptions(reader={"mpp": 1.0})}
    with pytest.raises(BadInputError, match="it was scaled"):
        enhance(tmp_path / "raw.h5ad", tmp_path / "a.h5ad", reference=tmp_path / "scaled.h5ad", **how)
    (tmp_path / "folder").mkdir()
    with pytest.raises(MissingResourceError, match=r"reference\.json"):
        enhance(tmp_path / "raw.h5ad", tmp_path / "a.h5ad", reference=tmp_path / "folder", **how)
    assert not (tmp_path / "a.h5ad").exists()

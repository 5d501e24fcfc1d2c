"""The smallest and the emptiest inputs: estimated where anything can be said, refused in one line where not."""

from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pytest
from model.training.tiny_cohort import cells, grow, store_tissue

from focus_cli.core.errors import BadInputError
from focus_cli.enhancement import enhance
from focus_cli.enhancement.stage import EnhanceOptions


@pytest.fixture(scope="module")
def tissue():
    return grow(side=6)


def locations(tissue, kept):
    parts = {name: getattr(tissue, name)[kept] for name in ("counts", "xy_um", "factors", "share")}
    return replace(tissue, **parts)


def genes(tissue, n):
    return replace(
        tissue,
        names=tissue.names[:n],
        counts=tissue.counts[:, :n],
        share=tissue.share[:, :n],
        loadings=tissue.loadings[:n],
    )


def enhanced(tmp_path, tissue, *, image=True, counts=None, reference=None):
    sample = store_tissue(tmp_path / "S1", tissue, image=image, counts=counts)
    cells_path = None
    if reference is not None:
        cells_path = tmp_path / "cells.h5ad"
        reference.write_h5ad(cells_path)
    out = tmp_path / "a.h5ad"
    options = EnhanceOptions(device="cpu")
    enhance(sample, out, model="self", reference=cells_path, options=options, training_options={"max_steps": 3})
    written = anndata.read_h5ad(out)
    assert np.isfinite(written.X).all() and (np.asarray(written.X) >= 0).all()
    return written


@pytest.mark.parametrize("n", [1, 2, 10])
def test_a_panel_of_few_genes_is_enhanced(tmp_path, tissue, n):
    assert enhanced(tmp_path, genes(tissue, n)).shape == (36, n)


def test_four_locations_are_enhanced_and_one_is_refused(tmp_path, tissue):
    (tmp_path / "four").mkdir()
    assert enhanced(tmp_path / "four", locations(tissue, [0, 1, 6, 7]), image=False).n_obs == 4
    with pytest.raises(BadInputError, match="too few to train on"):
        enhanced(tmp_path, locations(tissue, [0]), image=False)


def test_one_location_is_enhanced_by_a_model_of_others(cohort, tmp_path):
    sample = store_tissue(tmp_path / "S1", locations(cohort.tissue, [0]), image=False)
    enhance(sample, tmp_path / "a.h5ad", model=cohort.model, reference=cohort.reference)
    written = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert written.n_obs == 1 and np.isfinite(written.X).all()


def test_genes_and_locations_without_a_molecule_are_estimated(tmp_path, tissue):
    counts = tissue.counts.toarray().copy()
    counts[:, 5], counts[3] = 0, 0
    assert enhanced(tmp_path, tissue, counts=counts).shape == tissue.counts.shape


def test_nothing_but_zeros_is_refused(tmp_path, tissue):
    with pytest.raises(BadInputError, match="no location of the samples has counts"):
        enhanced(tmp_path, tissue, counts=0 * tissue.counts.toarray())
    assert not (tmp_path / "a.h5ad").exists()


@pytest.mark.parametrize("n", [2, 10])
def test_a_reference_of_a_few_cells_is_refused(tmp_path, tissue, n):
    with pytest.raises(BadInputError, match="too few for a reference"):
        enhanced(tmp_path, tissue, reference=cells(n))


def test_a_reference_of_another_species_is_refused(tmp_path, tissue):
    mouse = cells()
    mouse.var_names = ["Mouse" + name for name in mouse.var_names]
    with pytest.raises(BadInputError, match="shares 0 genes"):
        enhanced(tmp_path, tissue, reference=mouse)

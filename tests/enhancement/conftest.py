"""One tiny section, one reference, one model, made once for this room; nobody writes into them."""

from __future__ import annotations

from types import SimpleNamespace

import anndata
import pytest
import yaml
from model.training.tiny_cohort import TINY_TRAINING, grow, store_tissue, write_cells

from focus_cli.enhancement import enhance
from focus_cli.genes.reference import build_reference
from focus_cli.model.training.stage import train


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Paths of a stored section, a reference and a trained model, and the tissue that they were made of."""
    folder = tmp_path_factory.mktemp("enhancement")
    tissue = grow(side=10)
    sample = store_tissue(folder / "S1", tissue)
    build_reference(write_cells(folder / "cells.h5ad"), folder / "reference", n_states=5)
    settings = folder / "tiny.yaml"
    settings.write_text(yaml.safe_dump(TINY_TRAINING.model_dump(mode="json") | {"max_steps": 20}))
    train([sample], folder / "model", reference=folder / "reference", config=settings, device="cpu")
    return SimpleNamespace(
        folder=folder,
        tissue=tissue,
        sample=sample,
        cells=folder / "cells.h5ad",
        reference=folder / "reference",
        model=folder / "model",
    )


@pytest.fixture(scope="session")
def enhanced(cohort):
    """Path of the enhanced file with all defaults."""
    out = cohort.folder / "enhanced.h5ad"
    enhance(cohort.sample, out, model=cohort.model, reference=cohort.reference)
    return out


@pytest.fixture(scope="session")
def adata(enhanced):
    """The enhanced file, read; not to be changed."""
    return anndata.read_h5ad(enhanced)

"""Small stored sections that several tests share; tests must not write into them."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_sections as tiny

from focus_cli.evaluation import hold_out


@pytest.fixture(scope="session")
def spots(tmp_path_factory):
    """400 spots, 40 smooth genes."""
    return tiny.smooth_section(tmp_path_factory.mktemp("spots") / "S1")


@pytest.fixture(scope="session")
def bins(tmp_path_factory):
    """120 × 120 bins of 8 µm, 30 smooth genes, 25 molecules a bin."""
    return tiny.smooth_section(tmp_path_factory.mktemp("bins") / "S1", n=120, n_genes=30, pitch=8.0, depth=25, seed=1)


@pytest.fixture(scope="session")
def gene_weights():
    """Image feature → log rate of 30 genes, (4, 30)."""
    return np.random.default_rng(11).normal(0, 0.6, (4, 30))


@pytest.fixture(scope="session")
def held(spots, tmp_path_factory):
    """Denoise, impute and histology hold-outs of the smooth section: task → (seen, truth)."""
    folder = tmp_path_factory.mktemp("held")
    out = {}
    for task in ("denoise", "impute", "histology"):
        out[task] = folder / task, folder / f"{task}.h5ad"
        options = {"test_fraction": 0.4} if task == "histology" else {}
        hold_out(spots.path, task, *out[task], n_genes=20, **options)
    return out

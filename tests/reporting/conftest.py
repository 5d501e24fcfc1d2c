"""Fixtures: one enhanced file, its refined file, and its scores, made once."""

from __future__ import annotations

from pathlib import Path

import fake_enhanced
import pytest


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with S1.h5ad, S1.refined.h5ad, S2.h5ad and two scores folders."""
    folder = tmp_path_factory.mktemp("study")
    first = fake_enhanced.enhanced("S1")
    fake_enhanced.write(first, folder / "S1.h5ad")
    fake_enhanced.write(fake_enhanced.refined(first), folder / "S1.refined.h5ad")
    fake_enhanced.write(fake_enhanced.enhanced("S2", seed=1), folder / "S2.h5ad")
    fake_enhanced.write_scores(folder / "lost", {"focus": 0.41, "ridge": 0.44, "nearest": 0.3})
    fake_enhanced.write_scores(folder / "won", {"focus": 0.5, "ridge": 0.44, "flat": float("nan")})
    return folder


@pytest.fixture(scope="session")
def enhanced_sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An enhanced file, made without a model, and the stored sample of a small simulated section with its H&E."""
    import anndata

    from focus_cli.core import keys
    from focus_cli.platforms.preprocessing import preprocess
    from focus_cli.simulation import simulate

    folder = tmp_path_factory.mktemp("sample")
    simulate(folder / "study", seed=0, size_um=1000, n_genes=60, mpp=2.0)
    raw = sorted((folder / "study" / "sections").iterdir())[0]
    preprocess(raw, folder / "samples" / raw.name, raw.name)
    adata = anndata.read_h5ad(folder / "samples" / raw.name / keys.COUNTS_H5AD)
    adata.layers[keys.COUNTS] = adata.X.copy()
    adata.uns[keys.UNS] = {"kind": "enhanced", "sample_id": raw.name, "mpp": 2.0}
    adata.write_h5ad(folder / "enhanced.h5ad")
    return folder / "enhanced.h5ad", folder / "samples" / raw.name

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

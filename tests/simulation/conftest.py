"""Small simulated sections, one for each platform, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SMALL = {"n_sections": 1, "size_um": 1200.0, "n_genes": 60, "seed": 3}


@dataclass(frozen=True)
class Simulated:
    """Paths of a study with one section, ``S1``."""

    path: Path

    @property
    def raw(self) -> Path:
        return self.path / "sections" / "S1"

    @property
    def truth(self):
        import anndata

        return anndata.read_h5ad(self.path / "truth" / "S1.h5ad")

    @property
    def fine(self):
        import anndata

        return anndata.read_h5ad(self.path / "truth" / "S1.fine.h5ad")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Simulated]:
    """``small(platform)``: a study of one small section; tests must not write into it."""
    from focus_cli.simulation import simulate

    made: dict[str, Simulated] = {}

    def make(platform: str) -> Simulated:
        if platform not in made:
            out = tmp_path_factory.mktemp("small") / platform
            made[platform] = Simulated(simulate(out, platform=platform, **SMALL))
        return made[platform]

    return make

"""A simulated section, and what was drawn for it: the truth that a reader must give back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from focus_cli.simulation import simulate, study
from focus_cli.simulation.layouts import Section

MPP = 2.0


@dataclass(frozen=True)
class Recorded:
    """The raw folder of one section, and the section as the writer was given it."""

    raw: Path
    section: Section


@cache
def _make(out: Path, platform: str) -> Recorded:
    held = []
    with pytest.MonkeyPatch.context() as patch:
        write = study.write_section
        patch.setattr(study, "write_section", lambda *a: held.append(a[2]) or write(*a))
        simulate(out, platform=platform, n_sections=1, size_um=700.0, n_genes=60, seed=5, mpp=MPP)
    return Recorded(out / "sections" / "S1", held[0])


def record(tmp_path_factory, platform: str) -> Recorded:
    """Simulate a small section of a platform; tests must not write into it."""
    return _make(tmp_path_factory.mktemp(platform) / "study", platform)


def check_round_trip(sample, section: Section, *, prefix: str = "", um: float = 1e-6, ids: bool = False) -> None:
    """Counts to the molecule, names and genes as they were, positions to `um` µm."""
    adata = sample.adata
    order = [prefix + name for name in section.locations.names]
    assert set(adata.obs_names) == set(order)
    adata = adata[order]
    assert sparse.issparse(sample.adata.X) and sample.adata.X.format == "csr"
    assert list(adata.var_names) == list(section.symbols)
    assert (section.counts.astype(np.float32) != adata.X).nnz == 0
    np.testing.assert_allclose(adata.obsm["spatial_um"], section.locations.xy_um, atol=um)
    np.testing.assert_allclose(adata.obsm["spatial"], section.locations.px, atol=um / MPP)
    if ids:
        assert list(adata.var["gene_ids"]) == list(section.gene_ids)

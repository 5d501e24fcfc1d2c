"""A small simulated section whose nuclei are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MPP = 0.5


@dataclass(frozen=True)
class Section:
    """A picture at 0.5 µm per pixel, and where its cells are (µm)."""

    path: Path
    xy_um: np.ndarray


@pytest.fixture(scope="session")
def section(tmp_path_factory) -> Section:
    """A section of 600 µm; tests must not write into its folder."""
    from focus_cli.simulation.histology import Histology
    from focus_cli.simulation.tissue import make_tissue, place_cells

    tissue = make_tissue(0, 1, 600.0)
    cells = place_cells(tissue, 0, 1)
    drawn = Histology(tissue, cells, MPP, seed=0, section=1)
    path = tmp_path_factory.mktemp("section") / "he.png"
    Image.fromarray(drawn.band(0, drawn.height)).save(path)
    return Section(path, cells.xy_um)

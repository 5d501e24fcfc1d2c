"""What a writer is given, what it gives back, and which writer serves which platform."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from focus_cli.simulation.arrays import Locations
from focus_cli.simulation.pyramid import Thumbnails, write_pyramid


@dataclass(frozen=True)
class Section:
    """One measured section.

    Attributes
    ----------
    name
        Its id, ``S1``.
    all_locations
        Every location of the array, in the order of the vendor's position file.
    locations
        Those on tissue, in the order of the rows of `counts`.
    counts
        int32 CSR (locations, genes on the panel).
    symbols, gene_ids
        str (genes on the panel,).
    width, height, mpp
        Of the full-resolution image, px and µm per pixel.
    band
        Draws rows of it; see `Histology.band`.
    """

    name: str
    all_locations: Locations
    locations: Locations
    counts: sparse.csr_matrix
    symbols: np.ndarray
    gene_ids: np.ndarray
    width: int
    height: int
    mpp: float
    band: Callable[[int, int], np.ndarray]

    def write_image(self, path: Path) -> Thumbnails:
        """Write the full-resolution image and return its thumbnails."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_pyramid(path, self.band, self.width, self.height, self.mpp)


@dataclass(frozen=True)
class WrittenSection:
    """Where a section was written: what to hand to ``focus preprocess``."""

    path: Path
    image: Path
    bin_um: float | None = None


def write_section(platform: str, folder: Path, section: Section) -> WrittenSection:
    """Write a section into `folder` as the platform's vendor would."""
    folder.mkdir(parents=True)
    module = {"anndata": "anndata_file"}.get(platform, platform)
    return importlib.import_module(f"focus_cli.simulation.layouts.{module}").write(folder, section)

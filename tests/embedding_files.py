"""Embeddings for tests, written as `focus embed` writes them: tissue of known kinds, with batch effects of donors."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

KINDS = ("duct", "stroma", "tumour")
SPACE = "model/expression"


def write_embedding(
    path: Path,
    sample: str,
    location: np.ndarray,
    neighbourhood: np.ndarray | None = None,
    *,
    xy: np.ndarray | None = None,
    space: str = SPACE,
    kind: str = "embedding",
) -> Path:
    """One file; locations are named l0, l1, … and lie on a square grid of 100 µm unless `xy` (µm) says otherwise."""
    n = len(location)
    adata = ad.AnnData(obs=pd.DataFrame({"in_tissue": np.ones(n, int)}, index=[f"l{i}" for i in range(n)]))
    adata.obsm["focus_location"] = location.astype(np.float32)
    adata.obsm["focus_neighbourhood"] = (location if neighbourhood is None else neighbourhood).astype(np.float32)
    side = int(np.ceil(np.sqrt(n)))
    um = 100.0 * np.stack(np.divmod(np.arange(n), side), 1) if xy is None else xy
    adata.obsm["spatial_um"], adata.obsm["spatial"] = um, um / 0.5
    adata.uns["focus_slide"] = location.mean(axis=0).astype(np.float32)
    adata.uns["focus"] = {"kind": kind, "sample_id": sample, "mpp": 0.5, "space": space}
    path.parent.mkdir(parents=True, exist_ok=True)
    adata.write_h5ad(path)
    return path


def tissue(seed: int, n: int = 144, width: int = 6, shift: float = 0.3, spread: float = 1.0):
    """Kinds of n locations in three stripes, and their representation with a shift of the donor's own."""
    rng = np.random.default_rng(seed)
    kinds = np.array(KINDS)[np.arange(n) * len(KINDS) // n]
    means = np.random.default_rng(7).normal(size=(len(KINDS), width)) * 2
    values = means[np.searchsorted(KINDS, kinds)] + spread * rng.normal(size=(n, width))
    return kinds, values + shift * rng.normal(size=width)


def cohort(folder: Path, donors: int = 3, **options) -> tuple[list[Path], pd.DataFrame]:
    """Files of one sample for each donor, and the table of all labels."""
    files, rows = [], []
    for i in range(donors):
        kinds, values = tissue(i, **options)
        files.append(write_embedding(folder / f"S{i}.h5ad", f"S{i}", values))
        names = [f"l{j}" for j in range(len(kinds))]
        rows.append(pd.DataFrame({"sample": f"S{i}", "location": names, "label": kinds, "donor": f"D{i}"}))
    return files, pd.concat(rows, ignore_index=True)


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """A table as TSV."""
    table.to_csv(path, sep="\t", index=False)
    return path

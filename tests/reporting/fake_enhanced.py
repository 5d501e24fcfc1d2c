"""A small enhanced file with known values, written as ``focus enhance`` writes one."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.storage import write_anndata

MPP = 0.5
STATES = ("epithelium", "stroma", "B cell", "T cell")


def positions(side: int) -> np.ndarray:
    """Centres of a hexagonal grid with 100 µm pitch, full-resolution px (side², 2)."""
    row, col = np.divmod(np.arange(side * side), side)
    return np.stack([(col + 0.5 * (row % 2)) * 100 / MPP, row * 86.6 / MPP], axis=1) + 300.0


def enhanced(
    sample_id: str = "S1", *, side: int = 12, measured: int = 30, imputed: int = 6, seed: int = 0
) -> anndata.AnnData:
    """An enhanced AnnData: gene 0 is a step from left to right, the others are weaker or noise."""
    rng = np.random.default_rng(seed)
    xy = positions(side)
    n, m = len(xy), measured + imputed
    right = (xy[:, 0] > xy[:, 0].mean()).astype(float)
    rate = np.full((n, m), 2.0)
    rate[:, 0] += 30 * right
    rate[:, 1] += 20 * (xy[:, 1] > xy[:, 1].mean())
    rate[:, measured:] += np.linspace(1, 5, imputed) * right[:, None]
    counts = rng.poisson(rate).astype(np.float32)
    counts[:, measured:] = 0
    scaled = np.log1p(rate / rate.sum(axis=1, keepdims=True) * keys.TARGET_SUM).astype(np.float32)
    obs = pd.DataFrame(index=[f"loc-{i}" for i in range(n)])
    obs[keys.IN_TISSUE] = 1
    obs[keys.TOTAL_COUNTS] = counts.sum(axis=1)
    obs[keys.OBS_RELIABILITY] = np.linspace(0.2, 0.9, n)
    names = [f"GENE{i}" for i in range(measured)] + [f"HIDDEN{i}" for i in range(imputed)]
    var = pd.DataFrame(index=names)
    var[keys.MEASURED] = np.arange(m) < measured
    var[keys.VAR_RELIABILITY] = np.where(var[keys.MEASURED], 0.8, 0.4)
    adata = anndata.AnnData(X=scaled, obs=obs, var=var)
    adata.layers[keys.COUNTS] = sparse.csr_matrix(counts)
    adata.layers[keys.MEAN_COUNTS] = rate.astype(np.float32)
    adata.layers[keys.STD] = (0.1 * scaled).astype(np.float32)
    adata.layers[keys.quantile_layer(0.05)] = 0.9 * scaled
    adata.layers[keys.quantile_layer(0.95)] = 1.1 * scaled
    adata.obsm[keys.SPATIAL] = xy
    adata.obsm[keys.SPATIAL_UM] = xy * MPP
    adata.obsm[keys.LATENT] = rng.normal(size=(n, 4)).astype(np.float32)
    shares = rng.dirichlet(np.array([8.0, 4.0, 2.0, 1.0]), size=n)
    adata.obsm[keys.STATE_ATTENTION] = pd.DataFrame(shares, index=obs.index, columns=list(STATES))
    extent = np.ceil((xy.max(axis=0) + 300) * 0.1).astype(int)
    adata.uns[keys.UNS_SPATIAL] = {
        sample_id: {
            "images": {"hires": rng.integers(150, 250, size=(extent[1], extent[0], 3), dtype=np.uint8)},
            "scalefactors": {"tissue_hires_scalef": 0.1, "spot_diameter_fullres": 110.0},
            "metadata": {},
        }
    }
    adata.uns[keys.UNS] = {
        "kind": "enhanced",
        "sample_id": sample_id,
        "mpp": MPP,
        "alignment": json.dumps(
            {
                "on_tissue": 0.9947,
                "orientations": [
                    {"orientation": "as given", "gain": 0.0},
                    {"orientation": "flipped left-right", "gain": -1.1269},
                ],
            }
        ),
        "warnings": ["2 genes of the panel are not in the reference"],
        "provenance": json.dumps(
            {
                "focus_version": "0.1.0",
                "command": "enhance",
                "settings": {"samples": 30, "genes": "all"},
                "inputs": {"sample": {"name": sample_id, "bytes": 12345, "sha256": "ab" * 32}},
                "versions": {"python": "3.11.9", "numpy": "2.1.0"},
                "seed": 7,
            }
        ),
    }
    return adata


def refined(parent: anndata.AnnData) -> anndata.AnnData:
    """The same sample on a grid of half the pitch."""
    xy = parent.obsm[keys.SPATIAL]
    step = 50 / MPP
    grid = np.stack(np.meshgrid(*(np.arange(*ends, step) for ends in zip(xy.min(0), xy.max(0)))), axis=-1)
    grid = grid.reshape(-1, 2)
    nearest = ((grid[:, None] - xy[None]) ** 2).sum(-1).argmin(axis=1)
    obs = pd.DataFrame({keys.PARENT: parent.obs_names[nearest]}, index=[f"fine-{i}" for i in range(len(grid))])
    fine = anndata.AnnData(X=parent.X[nearest], obs=obs, var=parent.var.copy())
    fine.obsm[keys.SPATIAL] = grid
    fine.uns[keys.UNS] = {**parent.uns[keys.UNS], "kind": "refined"}
    return fine


def write(adata: anndata.AnnData, path: Path) -> Path:
    """Write `adata` and return the path."""
    write_anndata(adata, path)
    return path


def write_scores(folder: Path, pcc: dict[str, float], *, task: str = "impute", sample_id: str = "S1") -> Path:
    """A scores folder with these mean PCCs."""
    folder.mkdir()
    rows = [
        {
            "task": task, "method": method, "genes": "all", "n_genes": 6, "n_nan": 1,
            "pcc_mean": value, "pcc_median": value, "pcc_q25": value - 0.05, "pcc_q75": value + 0.05,
            "spearman_mean": value - 0.01, "rmse_mean": 1 - value, "ceiling_mean": 0.6,
            "fraction_of_ceiling": value / 0.6, "lo": value - 0.02, "hi": value + 0.02,
        }
        for method, value in pcc.items()
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "scores.tsv", sep="\t", index=False)
    (folder / "scores.json").write_text(json.dumps({"sample_id": sample_id}))
    return folder

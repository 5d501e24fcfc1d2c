"""Tiny stored sections with known expression, made of nothing but the store's own writer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import zarr
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo, StoredSample, write_sample
from focus_cli.evaluation.truth import read_truth

STEP_UM = 8.0


def write_raster(path: Path, features: np.ndarray) -> None:
    """Write a raster as `focus preprocess` does: features (rows, cols, F), all of it tissue."""
    group = zarr.open_group(store=str(path), mode="w", zarr_format=3)
    group.create_array("features", data=features.astype(np.float16), chunks=(64, 64, features.shape[2]))
    group.create_array("tissue", data=np.ones(features.shape[:2], dtype=np.float32))
    group.attrs.update(
        origin_um=[0.0, 0.0],
        step_um=STEP_UM,
        names=[f"f{i}" for i in range(features.shape[2])],
        version=1,
    )


def texture(side_um: float, n_features: int, rng: np.random.Generator) -> np.ndarray:
    """Independent features without any spatial smoothness: neighbours tell nothing about them."""
    n = int(side_um / STEP_UM) + 2
    return rng.normal(size=(n, n, n_features)).astype(np.float32)


def square_grid(n: int, pitch: float, start: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (n², 2) in µm, rows and columns."""
    row, col = (part.ravel() for part in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
    return start + pitch * np.column_stack([col, row]).astype(np.float64), row, col


def proportions(log_rate: np.ndarray) -> np.ndarray:
    """Rows that sum to 1."""
    rate = np.exp(log_rate)
    return rate / rate.sum(axis=1, keepdims=True)


def log_cp10k(share: np.ndarray) -> np.ndarray:
    """log1p of the expected counts per 10,000."""
    return np.log1p(1e4 * share)


@dataclass
class Tissue:
    """A stored section and what it was drawn from."""

    sample: StoredSample
    share: np.ndarray  # (n, G), rows sum to 1
    counts: sparse.csr_matrix
    xy_um: np.ndarray

    @property
    def path(self) -> Path:
        return self.sample.path


def store_section(
    path: Path,
    share: np.ndarray,
    xy_um: np.ndarray,
    *,
    depth: float | np.ndarray = 2000,
    rng: np.random.Generator,
    row: np.ndarray | None = None,
    col: np.ndarray | None = None,
    features: np.ndarray | None = None,
    pitch: float = 100.0,
    sample_id: str = "S1",
    mpp: float = 0.5,
) -> Tissue:
    """Draw Poisson counts with these proportions and store them with a raster."""
    n, n_genes = share.shape
    counts = sparse.csr_matrix(rng.poisson(share * np.broadcast_to(depth, n)[:, None]).astype(np.float32))
    genes = [f"G{j:03d}" for j in range(n_genes)]
    obs = pd.DataFrame(index=[f"loc{i:05d}" for i in range(n)])
    if row is not None:
        obs[keys.IN_TISSUE], obs[keys.ARRAY_ROW], obs[keys.ARRAY_COL] = 1, row, col
    obs[keys.TOTAL_COUNTS] = np.asarray(counts.sum(axis=1)).ravel()
    obs["n_genes_by_counts"] = np.asarray((counts > 0).sum(axis=1)).ravel()  # would tell of hidden genes
    var = pd.DataFrame({keys.GENE_ID: genes, "mean_counts": np.asarray(counts.mean(axis=0)).ravel()}, index=genes)
    adata = anndata.AnnData(X=counts, obs=obs, var=var)
    adata.obsm[keys.SPATIAL], adata.obsm[keys.SPATIAL_UM] = xy_um / mpp, xy_um
    adata.uns[keys.UNS_SPATIAL] = {
        sample_id: {
            "images": {"lowres": np.full((4, 4, 3), 255, dtype=np.uint8)},
            "scalefactors": {"tissue_lowres_scalef": 0.1, "spot_diameter_fullres": 110.0},
            "metadata": {},
        }
    }
    info = SampleInfo(
        sample_id=sample_id,
        platform=PlatformInfo("visium_hd" if pitch < 20 else "visium", resolution_um=pitch),
        mpp=mpp,
        footprint=Footprint("square" if pitch < 20 else "circle", min(pitch, 55.0), pitch),
        n_locations=n,
        n_genes=n_genes,
    )
    writers = [] if features is None else [lambda folder: write_raster(folder / keys.MORPHOLOGY_ZARR, features)]
    sample = write_sample(path, info, adata, parts=writers)
    return Tissue(sample, share, counts, xy_um)


def smooth_section(path: Path, *, n: int = 20, n_genes: int = 40, seed: int = 0, depth: float = 3000, **more) -> Tissue:
    """Spots at 100 µm whose genes are smooth waves over the section."""
    rng = np.random.default_rng(seed)
    pitch = more.pop("pitch", 100.0)
    xy, row, col = square_grid(n, pitch)
    span = n * pitch
    direction = rng.normal(size=(2, n_genes))
    direction *= rng.uniform(2, 5, n_genes) / span / np.linalg.norm(direction, axis=0)
    waves = np.sin(2 * np.pi * (xy @ direction) / 2 + rng.uniform(0, 6, n_genes))
    share = proportions(1.0 * waves + rng.normal(0, 0.5, n_genes))
    features = more.pop("features", texture(span, 5, rng))
    return store_section(
        path, share, xy, depth=depth, rng=rng, row=row, col=col, pitch=pitch, features=features, **more
    )


def textured_section(
    path: Path, *, weights: np.ndarray, n: int = 20, seed: int = 0, depth: float = 5000, **more
) -> Tissue:
    """Spots at 104 µm (a multiple of the raster's step) whose genes are linear in rough image features."""
    rng = np.random.default_rng(seed)
    pitch = 13 * STEP_UM
    xy, row, col = square_grid(n, pitch)
    features = texture(n * pitch, weights.shape[0], rng)
    at_spots = features[row * 13, col * 13].astype(np.float16).astype(np.float64)
    share = proportions(at_spots @ weights)
    return store_section(
        path, share, xy, depth=depth, rng=rng, row=row, col=col, pitch=pitch, features=features, **more
    )


def write_estimate(
    path: Path,
    values: np.ndarray | sparse.spmatrix,
    obs_names,
    var_names,
    xy_um: np.ndarray | None = None,
    *,
    layers: dict | None = None,
    by_focus: bool = True,
    **chunks,
) -> Path:
    """Write an AnnData with an estimate, as FOCUS or another tool would."""
    adata = anndata.AnnData(
        X=values,
        obs=pd.DataFrame(index=list(obs_names)),
        var=pd.DataFrame(index=list(var_names)),
        layers=layers,
    )
    if xy_um is not None:
        adata.obsm[keys.SPATIAL_UM] = xy_um
    if by_focus:
        adata.uns[keys.UNS] = {"kind": "enhanced"}
    adata.write_h5ad(path, **chunks)
    return path


def write_expected(path: Path, values: np.ndarray, spots, genes, *, measured=True, scale: str = "log1p_cp10k") -> Path:
    """Write a simulator's truth: expectations (n, G), on log1p CP10k or proportional to molecules."""
    adata = anndata.AnnData(
        X=values.astype(np.float32),
        obs=pd.DataFrame(index=list(names(spots))),
        var=pd.DataFrame({keys.MEASURED: measured}, index=list(genes)),
    )
    adata.obsm[keys.SPATIAL_UM] = spots.xy_um
    adata.uns["focus_truth"] = {"task": "expected", "kind": "expected", "scale": scale}
    adata.write_h5ad(path)
    return path


def genes_of(truth):
    """Scored genes of a truth file."""
    return list(read_truth(truth).genes)


def expression_of(spots, genes, *, measured=None):
    """True log1p CP10k of named genes; CP10k of the measured ones where some are hidden."""
    """True log1p CP10k of named genes; CP10k of the measured ones where some are hidden."""
    index = [int(g[1:]) for g in genes]
    total = 1.0 if measured is None else spots.share[:, measured].sum(axis=1, keepdims=True)
    return log_cp10k(spots.share[:, index] / total).astype(np.float32)


def names(spots):
    """Names of a section's locations."""
    return [f"loc{i:05d}" for i in range(len(spots.xy_um))]


def rows_of(scores):
    """Method → row of scores."""
    return {row["method"]: row for row in scores["rows"]}

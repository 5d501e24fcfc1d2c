"""A tiny tissue whose genes, image and cells are known, for the tests of the model's rooms.

Two smooth factors run over a square of spots. A third of the genes follows the first, a third the second, a
third neither. The image shows the first factor alone. Cells of the reference are mixtures of the same
two factors and hold genes beyond the panel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import zarr
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo, write_sample
from focus_cli.model.network import ModelConfig
from focus_cli.model.training import TrainingConfig

PITCH_UM = 100.0
STEP_UM = 8.0
MPP = 0.5
N_GENES = 36
N_OUTSIDE = 8
TINY_NET = ModelConfig(width=16, layers=1, max_factors=4)
TINY_TRAINING = TrainingConfig(max_steps=12, batch_points=224, steps_per_view=3, genes_per_view=24, checkpoint_every=5)


@dataclass(frozen=True)
class Tissue:
    """Counts (n × G) with what they were drawn from: factors (n × 2), loadings (G × 2), shares (n × G)."""

    names: np.ndarray
    counts: sparse.csr_matrix
    xy_um: np.ndarray
    factors: np.ndarray
    loadings: np.ndarray
    share: np.ndarray

    @property
    def genes(self) -> pd.DataFrame:
        """The panel as `fit_prior` takes it."""
        return gene_table(self.names)

    @property
    def for_prior(self) -> tuple:
        """As `fit_prior` takes a sample."""
        return self.genes, self.counts, self.xy_um, PITCH_UM


def gene_table(names) -> pd.DataFrame:
    """Genes with Ensembl ids: those of the tiny program by their number, none for any other name."""
    ids = [f"ENSG{int(n[1:]):011d}" if n[:1] == "G" and n[1:].isdigit() else "" for n in names]
    return pd.DataFrame({keys.GENE_ID: ids}, index=np.asarray(names, str))


def gene_program(n_genes: int = N_GENES + N_OUTSIDE) -> tuple[np.ndarray, np.ndarray]:
    """Log rates (G) and loadings (G × 2) of the genes."""
    rng = np.random.default_rng(123)
    loadings = np.zeros((n_genes, 2))
    for gene in range(n_genes):
        if gene % 3 < 2:
            loadings[gene, gene % 3] = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 0.9)
    return rng.normal(0, 0.7, n_genes), loadings


def factors_at(xy_um: np.ndarray, side_um: float) -> np.ndarray:
    """Both factors at points in µm, n × 2."""
    phase = 2 * np.pi * xy_um / side_um
    return np.stack([np.sin(phase[:, 0]), np.cos(phase[:, 1])], axis=1)


def grow(seed: int = 0, side: int = 12, depth: float = 1500.0, jitter: float = 0.0) -> Tissue:
    """Draw a square of `side`² spots; `jitter` (µm) moves them off the grid, so that no distances tie."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    xy = PITCH_UM * (grid + 0.5) + rng.normal(0, jitter, grid.shape)
    base, loadings = (a[:N_GENES] for a in gene_program())
    factors = factors_at(xy, side * PITCH_UM)
    rate = np.exp(base + factors @ loadings.T)
    share = rate / rate.sum(axis=1, keepdims=True)
    counts = sparse.csr_matrix(rng.poisson(depth * share).astype(np.float32))
    names = np.array([f"G{j:03d}" for j in range(N_GENES)])
    return Tissue(names, counts, xy, factors, loadings, share)


def write_raster(path: Path, side_um: float, seed: int = 0) -> None:
    """Write three image features as `focus preprocess` does: the first factor, its opposite, noise."""
    n = int(np.ceil(side_um / STEP_UM))
    rng = np.random.default_rng([seed, 9])
    xy = STEP_UM * np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2)
    first = factors_at(xy, side_um)[:, 0].reshape(n, n)
    features = np.stack([first, 2 - first, 0 * first], axis=-1) + rng.normal(0, 0.1, (n, n, 3))
    group = zarr.open_group(store=str(path), mode="w", zarr_format=3)
    group.create_array("features", data=features.astype(np.float16), chunks=(64, 64, 3))
    group.create_array("tissue", data=np.ones((n, n), np.float32))
    group.attrs.update(origin_um=[0.0, 0.0], step_um=STEP_UM, names=["first", "opposite", "noise"], version=1)


def store_tissue(
    path: Path,
    tissue: Tissue,
    *,
    image: bool = True,
    sample_id: str = "S1",
    counts: sparse.csr_matrix | None = None,
    gene_ids: list[str] | None = None,
) -> Path:
    """Store a tissue as a sample folder; `counts` and `gene_ids` replace its own."""
    counts = tissue.counts if counts is None else sparse.csr_matrix(counts, dtype=np.float32)
    obs = pd.DataFrame(index=[f"spot{i:04d}" for i in range(len(tissue.xy_um))])
    obs[keys.IN_TISSUE] = 1
    obs[keys.TOTAL_COUNTS] = np.asarray(counts.sum(axis=1)).ravel()
    ids = gene_ids or [f"ENSG{j:011d}" for j in range(len(tissue.names))]
    adata = anndata.AnnData(counts.copy(), obs=obs, var=pd.DataFrame({keys.GENE_ID: ids}, index=list(tissue.names)))
    adata.obsm[keys.SPATIAL], adata.obsm[keys.SPATIAL_UM] = tissue.xy_um / MPP, tissue.xy_um
    adata.uns[keys.UNS_SPATIAL] = {
        sample_id: {
            "images": {"lowres": np.full((4, 4, 3), 255, np.uint8)},
            "scalefactors": {"tissue_lowres_scalef": 0.01, "spot_diameter_fullres": 110.0},
            "metadata": {},
        }
    }
    info = SampleInfo(
        sample_id=sample_id,
        platform=PlatformInfo("visium", resolution_um=55.0),
        mpp=MPP,
        footprint=Footprint("circle", 55.0, PITCH_UM),
        n_locations=counts.shape[0],
        n_genes=counts.shape[1],
    )
    side_um = PITCH_UM * np.sqrt(len(tissue.xy_um))
    writers = [lambda folder: write_raster(folder / keys.MORPHOLOGY_ZARR, side_um)] if image else []
    write_sample(path, info, adata, parts=writers)
    return path


def cells(n: int = 120, seed: int = 5, twin_of: int | None = None) -> anndata.AnnData:
    """Raw counts of single cells of three types over the panel and eight genes beyond it.

    With `twin_of`, a gene named ``TWIN`` repeats that panel gene's counts exactly.
    """
    rng = np.random.default_rng(seed)
    base, loadings = gene_program()
    centres = np.array([[1.5, 0.0], [-1.0, 1.5], [-0.5, -1.5]])
    kind = np.arange(n) % 3
    rate = np.exp(base + (centres[kind] + rng.normal(0, 0.3, (n, 2))) @ loadings.T)
    counts = rng.poisson(1500 * rate / rate.sum(axis=1, keepdims=True)).astype(np.float32)
    names = [f"G{j:03d}" for j in range(N_GENES)] + [f"Z{j:03d}" for j in range(N_OUTSIDE)]
    if twin_of is not None:
        counts, names = np.column_stack([counts, counts[:, twin_of]]), [*names, "TWIN"]
    obs = pd.DataFrame({"cell_type": np.array(["A", "B", "C"])[kind]}, index=[f"cell{i}" for i in range(n)])
    return anndata.AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=names))


def write_cells(path: Path, **how) -> Path:
    """Write `cells` as a file that ``focus reference`` takes."""
    cells(**how).write_h5ad(path)
    return path

"""Samples, raw files and references of any size for `resources.py`: cheap to make, realistic in how they are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FEATURES = 57  # of the built-in morphology
PATTERNS = 4  # profiles that mix over the tissue
MPP = 0.5
# name: locations, genes, entries a location, pitch in µm
SIZES = {
    "tiny": (500, 100, 40, 100.0),
    "spots": (4000, 18_000, 3000, 100.0),
    "spots_panel": (4000, 2000, 500, 100.0),
    "wide": (500, 18_000, 3000, 100.0),
    "cells": (20_000, 500, 100, 12.0),
    "cells_wide": (20_000, 5000, 400, 12.0),
    "bins": (50_000, 300, 60, 8.0),
    "bins_wide": (50_000, 18_000, 200, 16.0),
}
CELLS = {"cells_small": (2000, 18_000, 1500), "cells_large": (20_000, 18_000, 1500), "cells_many": (60_000, 4000, 300)}
RAW = {
    "raw_tiny": (500, 100, 40, 100.0, ""),
    "raw_spots": (4000, 18_000, 3000, 100.0, "tif"),
    "raw_plain": (2500, 500, 100, 200.0, "jpg"),
    "raw_panel": (4000, 2000, 500, 100.0, "jpg"),
    "raw_bins": (50_000, 18_000, 200, 8.0, "tif"),
}
TABLES = ("cosmx", "slideseq", "merfish", "starmap")  # platforms whose counts are tables of text


def counts_of(n: int, n_genes: int, per_row: int, seed: int):
    """CSR float32 (n, n_genes) with about `per_row` entries a row, in four profiles that mix along the first axis."""
    from scipy import sparse

    rng = np.random.default_rng(seed)
    weight = np.exp(rng.normal(0, 1.5, n_genes))
    profiles = weight * np.exp(rng.normal(0, 0.5, (PATTERNS, n_genes)))
    cut = np.cumsum(profiles / profiles.sum(axis=1, keepdims=True), axis=1)
    parts = []
    for start in range(0, n, 4096):
        rows = np.arange(start, min(start + 4096, n))
        phase = (PATTERNS * rows / max(n, 1)).astype(int).clip(max=PATTERNS - 1)
        drawn = rng.random((len(rows), per_row))
        column = np.empty(drawn.shape, np.int64)
        for pattern in np.unique(phase):
            here = phase == pattern
            column[here] = np.searchsorted(cut[pattern], drawn[here]).clip(max=n_genes - 1)
        row = np.repeat(np.arange(len(rows)), per_row)
        ones = np.ones(row.size, np.float32)
        parts.append(sparse.csr_matrix((ones, (row, column.ravel())), (len(rows), n_genes)))
    return sparse.vstack(parts, format="csr").astype(np.float32)


def _adata(n: int, n_genes: int, per_row: int, pitch_um: float, seed: int):
    import anndata
    import pandas as pd

    from focus_cli.core import keys

    side = int(np.ceil(np.sqrt(n)))
    xy = pitch_um * (np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)[:n] + 0.5)
    counts = counts_of(n, n_genes, per_row, seed)
    names = pd.Index([f"GENE{j:05d}" for j in range(n_genes)])
    obs = pd.DataFrame({keys.IN_TISSUE: 1}, index=[f"spot{i:06d}" for i in range(n)])
    obs[keys.TOTAL_COUNTS] = np.asarray(counts.sum(axis=1)).ravel()
    adata = anndata.AnnData(counts, obs=obs, var=pd.DataFrame({keys.GENE_ID: ""}, index=names))
    adata.obsm[keys.SPATIAL], adata.obsm[keys.SPATIAL_UM] = xy / MPP, xy
    return adata, side


def make_stored(folder: Path, name: str, n: int, n_genes: int, per_row: int, pitch_um: float, seed: int = 0) -> Path:
    """A sample folder with an image's raster, as ``focus preprocess`` writes it."""
    import zarr
    from scipy import ndimage

    from focus_cli.core import keys
    from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo, write_sample

    adata, side = _adata(n, n_genes, per_row, pitch_um, seed)
    rng = np.random.default_rng(seed)
    cells = max(8, int(np.ceil(side * pitch_um / 8.0)))
    smooth = ndimage.gaussian_filter(rng.standard_normal((6, cells, cells)).astype(np.float32), (0, 6, 6))
    weights = rng.standard_normal((6, FEATURES)).astype(np.float32)

    def raster(target: Path) -> None:
        group = zarr.open_group(store=str(target / keys.MORPHOLOGY_ZARR), mode="w", zarr_format=3)
        features = group.create_array(
            "features", shape=(cells, cells, FEATURES), chunks=(64, 64, FEATURES), dtype="float16"
        )
        for top in range(0, cells, 64):
            features[top : top + 64] = np.einsum("fyx,fk->yxk", smooth[:, top : top + 64], weights).astype(np.float16)
        group.create_array("tissue", data=np.ones((cells, cells), np.float32))
        group.attrs.update(origin_um=[4.0, 4.0], step_um=8.0, names=[f"f{i}" for i in range(FEATURES)], version=1)

    platform = PlatformInfo("visium", resolution_um=pitch_um)
    info = SampleInfo(name, platform, MPP, Footprint("circle", 0.55 * pitch_um, pitch_um), *adata.shape)
    write_sample(folder / name, info, adata, parts=[raster])
    return folder / name


def make_raw(folder: Path, name: str, n: int, n_genes: int, per_row: int, pitch_um: float, image: str) -> list[str]:
    """A raw .h5ad and an H&E (``jpg``, ``tif`` or ""), as arguments of ``focus preprocess``."""
    from focus_cli.core import keys

    adata, side = _adata(n, n_genes, per_row, pitch_um, 0)
    del adata.obsm[keys.SPATIAL_UM], adata.var[keys.GENE_ID]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.h5ad"
    adata.write_h5ad(path, compression="gzip", compression_opts=1)
    if not image:
        return [str(path), "--platform", "anndata", "--mpp", str(MPP)]
    picture = folder / f"{name}.{image}"
    px = int(side * pitch_um / MPP)
    if image == "tif":
        from slide_maker import write_pyramid

        write_pyramid(picture, px)
    else:
        from PIL import Image
        from slide_maker import texture

        tile = texture(2048, 2048)
        times = -(-px // 2048)
        Image.fromarray(np.tile(tile, (times, times, 1))[:px, :px]).save(picture, quality=80)
    return [str(path), "--platform", "anndata", "--mpp", str(MPP), "--image", str(picture), "--force"]


def make_cells(path: Path, n: int, n_genes: int, per_row: int) -> Path:
    """Single cells with types, as an .h5ad."""
    import anndata
    import pandas as pd

    obs = pd.DataFrame({"cell_type": [f"type{4 * i // n}" for i in range(n)]}, index=[f"cell{i}" for i in range(n)])
    var = pd.DataFrame(index=[f"GENE{j:05d}" for j in range(n_genes)])
    path.parent.mkdir(parents=True, exist_ok=True)
    anndata.AnnData(counts_of(n, n_genes, per_row, 7), obs=obs, var=var).write_h5ad(
        path, compression="gzip", compression_opts=1
    )
    return path

"""Small raw folders as the vendors write them, for the readers' tests: everything in them is known."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image
from scipy import io, ndimage, sparse

COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]


@dataclass
class Raw:
    """The truth behind a written folder: counts locations × genes, positions by barcode, µm per pixel."""

    path: Path
    counts: np.ndarray
    positions: pd.DataFrame
    symbols: list[str]
    gene_ids: list[str]
    mpp: float


def draw_he(tissue: np.ndarray, nuclei: np.ndarray, seed: int = 0) -> np.ndarray:
    """Paint an H&E: pale glass, pink tissue, blue-violet where `nuclei` (0..1) is high; uint8 (h, w, 3)."""
    rng = np.random.default_rng(seed)
    haematoxylin = np.where(tissue, 0.05 + 0.7 * nuclei, 0.0)
    eosin = np.where(tissue, 0.25, 0.0)
    density = haematoxylin[..., None] * (0.65, 0.70, 0.29) + eosin[..., None] * (0.07, 0.99, 0.11)
    density += rng.normal(0, 0.005, density.shape)
    return np.clip(250 * 10**-density, 0, 255).astype(np.uint8)


def write_matrix_h5(path: Path, counts, barcodes, ids, symbols, types=None, *, software: str | None = None) -> None:
    """Write a 10x feature-barcode matrix; `counts` is locations × genes of any number type."""
    csr = sparse.csr_matrix(counts)
    with h5py.File(path, "w") as file:
        if software:
            file.attrs["software_version"] = software
        group = file.create_group("matrix")
        group["data"], group["indices"], group["indptr"] = csr.data, csr.indices, csr.indptr
        group["shape"] = np.array(csr.shape[::-1])
        group["barcodes"] = np.array(barcodes, dtype="S")
        table = group.create_group("features")
        table["id"], table["name"] = np.array(ids, dtype="S"), np.array(symbols, dtype="S")
        table["feature_type"] = np.array(types or ["Gene Expression"] * len(ids), dtype="S")


def write_matrix_folder(folder: Path, counts, barcodes, ids, symbols, types=None, *, gz: bool) -> None:
    """Write the same as Matrix Market files, gzipped or plain."""
    folder.mkdir(parents=True)
    types = types or ["Gene Expression"] * len(ids)
    io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(np.asarray(counts).T))
    (folder / "features.tsv").write_text("".join(f"{i}\t{s}\t{t}\n" for i, s, t in zip(ids, symbols, types)))
    (folder / "barcodes.tsv").write_text("".join(f"{b}\n" for b in barcodes))
    if gz:
        for file in sorted(folder.iterdir()):
            with gzip.open(f"{file}.gz", "wb") as packed:
                packed.write(file.read_bytes())
            file.unlink()


def write_positions(spatial: Path, positions: pd.DataFrame, kind: str) -> None:
    """Write positions as Space Ranger 1 (``"1"``), 2 (``"2"``) or Visium HD (``"parquet"``) does."""
    spatial.mkdir(parents=True, exist_ok=True)
    table = positions.reset_index(names="barcode")[COLUMNS]
    if kind == "1":
        table.to_csv(spatial / "tissue_positions_list.csv", header=False, index=False)
    elif kind == "2":
        table.to_csv(spatial / "tissue_positions.csv", index=False)
    else:
        table.to_parquet(spatial / "tissue_positions.parquet", index=False)


def write_visium(
    path: Path,
    *,
    positions: str = "2",
    matrix: str = "h5",
    kind: str = "filtered",
    mpp: float = 2.0,
    image: str | None = "tissue_image.png",
    rotation: float = 0.0,
    n_rows: int = 20,
    n_cols: int = 18,
    seed: int = 0,
) -> Raw:
    """Write a Visium section of `n_rows` × `n_cols` spots: an L of tissue, nuclei where the counts are.

    Spots outside the tissue are in the positions, not in the filtered matrix.
    """
    rng = np.random.default_rng(seed)
    row, step = np.divmod(np.arange(n_rows * n_cols), n_cols)
    col = 2 * step + row % 2
    um = np.column_stack([col * 50.0, row * 100.0 * np.sqrt(3) / 2])
    span = um.max(axis=0)
    turn = np.deg2rad(rotation)
    turned = (um - span / 2) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    margin = 250.0
    um = turned + span / 2 + margin
    width, height = ((span + 2 * margin) / mpp).round().astype(int)

    # An L of tissue looks different in all eight orientations; nuclei thicken towards one end of it.
    reduced = max(1, round(8 / mpp))  # the picture is painted at 8 µm and enlarged
    y, x = np.mgrid[0 : height // reduced, 0 : width // reduced]
    u, v = x / x.max(), y / y.max()
    shape = ((u < 0.45) & (u > 0.12) & (v > 0.12) & (v < 0.88)) | ((u < 0.85) & (u > 0.12) & (v > 0.6) & (v < 0.88))
    texture = ndimage.gaussian_filter(rng.random(shape.shape), 6)
    texture = (texture - texture.min()) / np.ptp(texture)
    nuclei = np.clip(0.15 + 0.5 * v * u + 0.5 * texture, 0, 1)
    px = um / mpp
    at = tuple(np.clip((px[:, ::-1] / reduced).astype(int).T, 0, np.array(shape.shape)[:, None] - 1))
    in_tissue = shape[at].astype(int)

    n_genes = 30
    share = rng.dirichlet(np.full(n_genes, 2.0))
    counts = rng.poisson(np.outer(600 * nuclei[at], share)).astype(np.int32)
    barcodes = [f"{''.join('ACGT'[d] for d in np.unravel_index(i, (4,) * 8))}-1" for i in range(len(um))]
    table = pd.DataFrame(
        {
            "in_tissue": in_tissue,
            "array_row": row,
            "array_col": col,
            "pxl_row_in_fullres": px[:, 1],
            "pxl_col_in_fullres": px[:, 0],
        },
        index=barcodes,
    )
    symbols = [f"Gene{j}" for j in range(n_genes)]
    ids = [f"ENSG{j:011d}" for j in range(n_genes)]
    path.mkdir(parents=True, exist_ok=True)
    held = np.flatnonzero(in_tissue) if kind == "filtered" else np.arange(len(um))
    names = [barcodes[i] for i in held]
    if matrix == "h5":
        write_matrix_h5(path / f"{kind}_feature_bc_matrix.h5", counts[held], names, ids, symbols)
    else:
        folder = path / f"{kind}_feature_bc_matrix"
        write_matrix_folder(folder, counts[held], names, ids, symbols, gz=matrix == "mtx.gz")
    write_positions(path / "spatial", table, positions)
    small = Image.fromarray(draw_he(shape, nuclei, seed))
    full = small.resize((int(width), int(height)), Image.Resampling.NEAREST)
    if image:
        full.save(path / image)
    hires = full.resize((int(width) // 4, int(height) // 4), Image.Resampling.BOX)
    hires.save(path / "spatial" / "tissue_hires_image.png")
    hires.resize((hires.width // 3, hires.height // 3)).save(path / "spatial" / "tissue_lowres_image.png")
    (path / "spatial" / "scalefactors_json.json").write_text(
        json.dumps(
            {
                "tissue_hires_scalef": hires.width / width,
                "tissue_lowres_scalef": hires.width // 3 / width,
                "spot_diameter_fullres": 65.0 / mpp,
                "fiducial_diameter_fullres": 105.0 / mpp,
            }
        )
    )
    return Raw(path, counts[held], table.loc[names], symbols, ids, mpp)


def write_visium_hd(
    path: Path, *, side: int = 24, fine_um: int = 2, sizes=(2, 8), mpp: float = 0.4, seed: int = 0
) -> Raw:
    """Write `side` × `side` bins of `fine_um` and their sums at the other `sizes`; columns run right to left.

    Each size's filtered matrix holds the bins that have a molecule. Returns the truth of the finest size.
    """
    rng = np.random.default_rng(seed)
    genes = 12
    counts = rng.poisson(0.15, (side, side, genes)).astype(np.int32)
    symbols, ids = [f"Gene{j}" for j in range(genes)], [f"ENSG{j:011d}" for j in range(genes)]
    for size in sizes:
        factor = size // fine_um
        n = side // factor
        merged = counts.reshape(n, factor, n, factor, genes).sum(axis=(1, 3)).reshape(n * n, genes)
        row, col = np.divmod(np.arange(n * n), n)
        # As on real slides: x falls as the column number rises.
        table = pd.DataFrame(
            {
                "in_tissue": 1,
                "array_row": row,
                "array_col": col,
                "pxl_row_in_fullres": (row + 0.5) * size / mpp + 40,
                "pxl_col_in_fullres": (n - col - 0.5) * size / mpp + 40,
            },
            index=[f"s_{size:03d}um_{r:05d}_{c:05d}-1" for r, c in zip(row, col)],
        )
        folder = path / "binned_outputs" / f"square_{size:03d}um"
        (folder / "spatial").mkdir(parents=True)
        held = np.flatnonzero(merged.sum(axis=1))
        names = table.index[held]
        matrix = folder / "filtered_feature_bc_matrix.h5"
        write_matrix_h5(matrix, merged[held], names, ids, symbols, software="spaceranger-3.0.1")
        write_positions(folder / "spatial", table, "parquet")
        factors = {"microns_per_pixel": mpp, "bin_size_um": float(size), "spot_diameter_fullres": size / mpp}
        (folder / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
        if size == fine_um:
            truth = Raw(path, merged[held], table.loc[names], symbols, ids, mpp)
    return truth


def renumber(barcodes, number: int) -> list[str]:
    """Barcodes of one library as ``spaceranger aggr`` names them."""
    return [name.removesuffix("-1") + f"-{number}" for name in barcodes]


def write_aggregated(outs: Path, libraries: dict[str, Raw]) -> None:
    """Write the outputs of ``spaceranger aggr`` from Visium folders with positions as of Space Ranger 2."""
    outs.mkdir(parents=True)
    counts, names, tables = [], [], []
    for number, (name, raw) in enumerate(libraries.items(), start=1):
        shutil.copytree(raw.path / "spatial", outs / "spatial" / name)
        table = pd.read_csv(raw.path / "spatial" / "tissue_positions.csv")
        tables.append(table.assign(barcode=renumber(table["barcode"], number), library_id=name))
        counts.append(raw.counts)
        names += renumber(raw.positions.index, number)
    one = next(iter(libraries.values()))
    write_matrix_h5(outs / "filtered_feature_bc_matrix.h5", np.vstack(counts), names, one.gene_ids, one.symbols)
    pd.concat(tables).to_csv(outs / "aggr_tissue_positions.csv", index=False)
    sheet = pd.DataFrame({"library_id": list(libraries), "molecule_h5": "m.h5", "cloupe_file": "c.cloupe"})
    sheet.to_csv(outs / "aggregation.csv", index=False)


def write_flat(raw: Raw, folder: Path, front: str, *, between: str = "", listed: bool = True, gz: bool = True) -> None:
    """Lay the files of a Visium folder flat in `folder`, as GEO does, with `front` before their names.

    `between` comes before the names of the spatial files; `listed`: positions without header.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def put(source: Path, name: str) -> None:
        if gz:
            (folder / f"{name}.gz").write_bytes(gzip.compress(source.read_bytes()))
        else:
            shutil.copy(source, folder / name)

    matrix = raw.path / "filtered_feature_bc_matrix.h5"
    for file in [matrix] if matrix.is_file() else sorted(matrix.with_suffix("").iterdir()):
        shutil.copy(file, folder / f"{front}{file.name}")
    for name in ("scalefactors_json.json", "tissue_hires_image.png"):
        put(raw.path / "spatial" / name, f"{front}{between}{name}")
    name = f"tissue_positions{'_list' if listed else ''}.csv"
    table = pd.read_csv(raw.path / "spatial" / "tissue_positions.csv")
    kept = folder / f"{front}{between}{name}"
    table.to_csv(kept, index=False, header=not listed)
    if gz:
        put(kept, kept.name)
        kept.unlink()


def write_cells(path: Path, *, n: int = 40, mpp: float = 0.5, seed: int = 0) -> tuple[Raw, np.ndarray]:
    """Write ``segmented_outputs`` of Space Ranger 4: cells on a loose grid, each outlined by a triangle.

    The matrix holds all cells but every seventh, in another order than the outlines. Returns the truth, positions at
    the centroids, and the cells' areas in square pixels.
    """
    rng = np.random.default_rng(seed)
    number = np.arange(1, n + 1)
    centre = np.column_stack([number % 8, number // 8]) * 40.0 + rng.uniform(20, 30, (n, 2))
    corner = rng.uniform(-6, 6, (n, 3, 2)) + np.array([[-9, -9], [9, -9], [0, 12]])
    corner += (centre - corner.mean(axis=1))[:, None]
    (ax, ay), (bx, by) = (corner[:, 1] - corner[:, 0]).T, (corner[:, 2] - corner[:, 0]).T
    features = [
        {
            "type": "Feature",
            "properties": {"cell_id": int(i), "classification": {"name": "a [b] {c}"}},
            "geometry": {"type": "Polygon", "coordinates": [[*points.tolist(), points[0].tolist()]]},
        }
        for i, points in zip(number, corner)
    ]
    folder = path / "segmented_outputs"
    (folder / "spatial").mkdir(parents=True)
    text = json.dumps({"type": "FeatureCollection", "features": features})
    (folder / "cell_segmentations.geojson").write_text(text)
    (folder / "spatial" / "scalefactors_json.json").write_text(json.dumps({"microns_per_pixel": mpp}))
    held = rng.permutation(np.flatnonzero(number % 7))
    counts = rng.poisson(3.0, (len(held), 12)).astype(np.int32)
    names = [f"cellid_{number[i]:09d}-1" for i in held]
    symbols, ids = [f"Gene{j}" for j in range(12)], [f"ENSG{j:011d}" for j in range(12)]
    matrix = folder / "filtered_feature_cell_matrix.h5"
    write_matrix_h5(matrix, counts, names, ids, symbols, software="spaceranger-4.0.1")
    table = pd.DataFrame({"x": centre[held, 0], "y": centre[held, 1]}, index=names)
    return Raw(path, counts, table, symbols, ids, mpp), (np.abs(ax * by - ay * bx) / 2)[held]


def write_legacy(path: Path, section: str = "A1", *, mpp: float = 0.7, seed: int = 0) -> Raw:
    """Write one legacy ST section; the printed spots stray a little from the grid."""
    rng = np.random.default_rng(seed)
    x, y = (a.ravel() for a in np.meshgrid(np.arange(3, 12), np.arange(5, 13)))
    new_x, new_y = x + rng.normal(0, 0.05, x.size), y + rng.normal(0, 0.05, y.size)
    table = pd.DataFrame(
        {
            "x": x,
            "y": y,
            "new_x": new_x,
            "new_y": new_y,
            "pixel_x": new_x * 200 / mpp + 30,
            "pixel_y": new_y * 200 / mpp - 90,
            "selected": 1,
        }
    )
    counts = rng.poisson(2.0, (x.size, 15)).astype(np.int32)
    symbols = [f"Gene{j}" for j in range(15)]
    names = [f"{a}x{b}" for a, b in zip(x, y)]
    for folder in ("ST-cnts", "ST-spotfiles"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    shuffled = rng.permutation(x.size)
    pd.DataFrame(counts[shuffled], index=[names[i] for i in shuffled], columns=symbols).to_csv(
        path / "ST-cnts" / f"{section}.tsv.gz", sep="\t"
    )
    table.to_csv(path / "ST-spotfiles" / f"{section}_selection.tsv", sep="\t", index=False)
    return Raw(path, counts, table.set_index(pd.Index(names)), symbols, symbols, mpp)

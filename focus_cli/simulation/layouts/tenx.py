"""Files that Visium and Visium HD share: the 10x count matrix, thumbnails, scale factors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image, ImageDraw
from scipy import sparse

from focus_cli.simulation.pyramid import Thumbnails

GENOME = "GRCh38"


def write_matrix(
    path: Path,
    counts: sparse.csr_matrix,
    barcodes: np.ndarray,
    symbols: np.ndarray,
    gene_ids: np.ndarray,
    *,
    library: str,
    chemistry: str,
    software: str,
) -> None:
    """Write a feature–barcode matrix, version 3 of the format of Cell Ranger and Space Ranger.

    Parameters
    ----------
    counts
        int32 CSR (barcodes, genes): the rows of a CSR are the columns of the CSC that the format requires.
    """
    n = len(symbols)
    with h5py.File(path, "w") as file:
        file.attrs["chemistry_description"] = np.bytes_(chemistry)
        file.attrs["filetype"] = np.bytes_("matrix")
        file.attrs["library_ids"] = np.array([library], dtype="S")
        file.attrs["original_gem_groups"] = np.array([1])
        file.attrs["software_version"] = np.bytes_(software)
        file.attrs["version"] = 2
        matrix = file.create_group("matrix")

        def put(group: h5py.Group, name: str, values: np.ndarray) -> None:
            group.create_dataset(name, data=values, compression="gzip", compression_opts=4, shuffle=True)

        put(matrix, "barcodes", barcodes.astype("S"))
        put(matrix, "data", counts.data.astype(np.int32))
        put(matrix, "indices", counts.indices.astype(np.int64))
        put(matrix, "indptr", counts.indptr.astype(np.int64))
        put(matrix, "shape", np.array([n, len(barcodes)], dtype=np.int32))
        features = matrix.create_group("features")
        features.create_dataset("_all_tag_keys", data=np.array([b"genome"]))
        put(features, "feature_type", np.full(n, b"Gene Expression"))
        put(features, "genome", np.full(n, GENOME.encode()))
        put(features, "id", gene_ids.astype("S"))
        put(features, "name", symbols.astype("S"))


def write_thumbnails(spatial: Path, thumbnails: Thumbnails) -> None:
    """Write the two tissue images, and the overlay of fiducials that must not be taken for the H&E."""
    spatial.mkdir(parents=True, exist_ok=True)
    Image.fromarray(thumbnails.hires).save(spatial / "tissue_hires_image.png", compress_level=1)
    Image.fromarray(thumbnails.lowres).save(spatial / "tissue_lowres_image.png", compress_level=1)
    overlay = Image.fromarray(thumbnails.hires)
    draw = ImageDraw.Draw(overlay)
    width, height = overlay.size
    gap, radius = max(width, height) / 40, max(width, height) / 120
    for step in np.arange(gap / 2, width, gap):
        for x, y in ((step, gap / 2), (step, height - gap / 2), (gap / 2, step), (width - gap / 2, step)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(200, 30, 30), width=2)
    overlay.save(spatial / "aligned_fiducials.jpg", quality=90)


def write_scale_factors(spatial: Path, factors: dict[str, Any]) -> None:
    """Write ``scalefactors_json.json``."""
    (spatial / "scalefactors_json.json").write_text(json.dumps(factors))

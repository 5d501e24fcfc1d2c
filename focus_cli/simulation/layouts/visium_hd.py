"""Visium HD as Space Ranger 3 writes ``binned_outputs``: 8 µm bins, and 16 µm bins merged from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.simulation.arrays import Locations, bin_names
from focus_cli.simulation.layouts.section import Section, WrittenSection
from focus_cli.simulation.layouts.tenx import write_matrix, write_scale_factors, write_thumbnails
from focus_cli.simulation.pyramid import Thumbnails

_FIDUCIAL_UM = 330.0


def write(folder: Path, section: Section) -> WrittenSection:
    """Write both bin sizes, their positions and thumbnails, and the full-resolution image."""
    image = folder / "tissue_image.tif"
    thumbnails = section.write_image(image)
    write_thumbnails(folder / "spatial", thumbnails)
    _write_bins(folder, section, thumbnails)
    _write_bins(folder, merged(section, 2), thumbnails)
    return WrittenSection(folder, image, bin_um=section.locations.size_um)


def merged(section: Section, factor: int) -> Section:
    """Sum the counts of `factor` × `factor` bins. A merged bin is on tissue if one of its bins is."""
    fine = section.all_locations
    size = fine.size_um * factor
    places = np.stack([fine.array_row, fine.array_col], axis=1) // factor
    (row, column), group = _grouped(places)
    px = np.stack([np.bincount(group, weights=fine.px[:, k]) for k in (0, 1)], axis=1)
    coarse = Locations(
        names=bin_names(size, row, column),
        array_row=row,
        array_col=column,
        px=px / np.bincount(group)[:, None],
        mpp=fine.mpp,
        in_tissue=np.bincount(group, weights=fine.in_tissue) > 0,
        shape="square",
        size_um=size,
        pitch_um=size,
    )
    counted = coarse.counted()
    small = section.locations
    target = pd.Index(counted.names).get_indexer(bin_names(size, small.array_row // factor, small.array_col // factor))
    ones = np.ones(len(small), dtype=np.int32)
    sums = sparse.csr_matrix((ones, (target, np.arange(len(small)))), shape=(len(counted), len(small)))
    counts = sparse.csr_matrix(sums @ section.counts)
    counts.sort_indices()
    return replace(section, all_locations=coarse, locations=counted, counts=counts)


def _grouped(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows of `places` (transposed), and which of them each row is."""
    distinct, group = np.unique(places, axis=0, return_inverse=True)
    return distinct.T, group.ravel()


def _write_bins(folder: Path, section: Section, thumbnails: Thumbnails) -> None:
    bins = section.all_locations
    here = folder / "binned_outputs" / f"square_{round(bins.size_um):03d}um"
    spatial = here / "spatial"
    write_thumbnails(spatial, thumbnails)
    write_scale_factors(
        spatial,
        {
            "spot_diameter_fullres": bins.size_um / section.mpp,
            "bin_size_um": bins.size_um,
            "microns_per_pixel": section.mpp,
            "regist_target_img_scalef": thumbnails.hires_scale,
            "tissue_lowres_scalef": thumbnails.lowres_scale,
            "fiducial_diameter_fullres": _FIDUCIAL_UM / section.mpp,
            "tissue_hires_scalef": thumbnails.hires_scale,
        },
    )
    pd.DataFrame(
        {
            "barcode": bins.names.astype(object),
            "in_tissue": bins.in_tissue.astype(np.int32),
            "array_row": bins.array_row.astype(np.int32),
            "array_col": bins.array_col.astype(np.int32),
            "pxl_row_in_fullres": bins.px[:, 1],
            "pxl_col_in_fullres": bins.px[:, 0],
        }
    ).to_parquet(spatial / "tissue_positions.parquet", index=False)
    write_matrix(
        here / "filtered_feature_bc_matrix.h5",
        section.counts,
        section.locations.names,
        section.symbols,
        section.gene_ids,
        library=section.name,
        chemistry="Visium HD v1",
        software="spaceranger-3.0.0",
    )

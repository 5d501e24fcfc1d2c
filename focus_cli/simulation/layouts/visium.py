"""Visium as Space Ranger 2 writes its ``outs`` folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from focus_cli.simulation.arrays import Locations
from focus_cli.simulation.layouts.section import Section, WrittenSection
from focus_cli.simulation.layouts.tenx import write_matrix, write_scale_factors, write_thumbnails
from focus_cli.simulation.pyramid import Thumbnails

# Space Ranger states 65 µm for a spot whose capture area is 55 µm across, and 105 µm for a fiducial.
_STATED_SPOT_UM, _STATED_FIDUCIAL_UM = 65.0, 105.0


def write(folder: Path, section: Section) -> WrittenSection:
    """Write matrix, positions, scale factors, thumbnails and the full-resolution image."""
    spatial = folder / "spatial"
    image = folder / "tissue_image.tif"
    thumbnails = section.write_image(image)
    write_thumbnails(spatial, thumbnails)
    write_scale_factors(spatial, scale_factors(section.mpp, thumbnails))
    positions = position_table(section.all_locations)
    positions.to_csv(spatial / "tissue_positions.csv", index=False, lineterminator="\n")
    write_matrix(
        folder / "filtered_feature_bc_matrix.h5",
        section.counts,
        section.locations.names,
        section.symbols,
        section.gene_ids,
        library=section.name,
        chemistry="Visium V1 Slide - 3' Gene Expression",
        software="spaceranger-2.1.1",
    )
    return WrittenSection(folder, image)


def scale_factors(mpp: float, thumbnails: Thumbnails) -> dict[str, float]:
    """The numbers of ``scalefactors_json.json``; µm per pixel is not among them."""
    return {
        "tissue_hires_scalef": thumbnails.hires_scale,
        "tissue_lowres_scalef": thumbnails.lowres_scale,
        "fiducial_diameter_fullres": _STATED_FIDUCIAL_UM / mpp,
        "spot_diameter_fullres": _STATED_SPOT_UM / mpp,
    }


def position_table(locations: Locations) -> pd.DataFrame:
    """Positions in whole pixels, every spot of the array, on tissue or not."""
    px = locations.px.round().astype(int)
    return pd.DataFrame(
        {
            "barcode": locations.names,
            "in_tissue": locations.in_tissue.astype(int),
            "array_row": locations.array_row,
            "array_col": locations.array_col,
            "pxl_row_in_fullres": px[:, 1],
            "pxl_col_in_fullres": px[:, 0],
        }
    )

"""CosMx as AtoMx exports flat files: counts, cells and fields of view, y up on the slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.simulation.arrays import COSMX_FIELD_UM
from focus_cli.simulation.layouts.section import Section, WrittenSection

CONTROLS = ("Negative01", "Negative02", "SystemControl01")
# Where the corner of the image lies on the slide, in mm from its lower left corner.
CORNER_MM = (5.25, 18.5)
_OUTSIDE = 7  # counts of every gene outside of cells, in each field


def write(folder: Path, section: Section) -> WrittenSection:
    """Write the three tables, and the H&E on the pixels of the stitched fields of view."""
    image = folder / f"{section.name}_HE.tif"
    section.write_image(image)
    cells = _cells(section)
    _write_counts(folder / f"{section.name}_exprMat_file.csv", section, cells)
    cells.to_csv(folder / f"{section.name}_metadata_file.csv", index=False, lineterminator="\n")
    _fields(section).to_csv(folder / f"{section.name}_fov_positions_file.csv", index=False, lineterminator="\n")
    return WrittenSection(folder, image)


def _slide_px(px: np.ndarray, mpp: float) -> np.ndarray:
    """Pixels of the image, y down → pixels on the slide, y up."""
    corner = np.array(CORNER_MM) * 1000 / mpp
    return np.stack([corner[0] + px[:, 0], corner[1] - px[:, 1]], axis=1)


def _across(section: Section) -> int:
    return int(np.ceil(section.width * section.mpp / COSMX_FIELD_UM))


def _field_corners(section: Section, field: np.ndarray) -> np.ndarray:
    """Upper left corner of fields of view in pixels of the image."""
    row, column = np.divmod(field - 1, _across(section))
    return np.stack([column, row], axis=1) * COSMX_FIELD_UM / section.mpp


def _cells(section: Section) -> pd.DataFrame:
    names, mpp = section.locations.names.astype(object), section.mpp
    field, cell = np.array([[int(word) for word in name.split("_")[2:]] for name in names]).T
    local = (section.locations.px - _field_corners(section, field)).round().astype(int)
    on_slide = _slide_px(section.locations.px, mpp).round(4)
    side = round(section.locations.size_um / mpp)
    area = np.pi / 4 * section.locations.size_um**2
    return pd.DataFrame(
        {
            "fov": field,
            "Area": round(area / mpp**2),
            "AspectRatio": 1.0,
            "CenterX_local_px": local[:, 0],
            "CenterY_local_px": local[:, 1],
            "Width": side,
            "Height": side,
            "cell_ID": cell,
            "cell": names,
            "Area.um2": round(area, 4),
            "CenterX_global_px": on_slide[:, 0],
            "CenterY_global_px": on_slide[:, 1],
        }
    )


def _write_counts(path: Path, section: Section, cells: pd.DataFrame) -> None:
    columns = ["fov", "cell_ID", *section.symbols, *CONTROLS]
    fields = np.unique(cells["fov"])
    outside = np.full((len(fields), len(columns) - 2), _OUTSIDE)
    outside = np.hstack([fields[:, None], np.zeros((len(fields), 1), int), outside])
    with open(path, "w", newline="") as stream:
        pd.DataFrame(outside, columns=columns).to_csv(stream, index=False, lineterminator="\n")
        for start in range(0, len(cells), 1000):
            rows = slice(start, start + 1000)
            counts = section.counts[rows].toarray()
            controls = np.zeros((len(counts), len(CONTROLS)), dtype=counts.dtype)
            block = np.hstack([cells[["fov", "cell_ID"]].to_numpy()[rows], counts, controls])
            pd.DataFrame(block).to_csv(stream, index=False, header=False, lineterminator="\n")


def _fields(section: Section) -> pd.DataFrame:
    field = np.arange(1, _across(section) ** 2 + 1)
    corner = _slide_px(_field_corners(section, field), section.mpp)
    mm = corner * section.mpp / 1000
    return pd.DataFrame(
        {
            "FOV": field,
            "x_global_px": corner[:, 0].round(4),
            "y_global_px": corner[:, 1].round(4),
            "x_global_mm": mm[:, 0].round(7),
            "y_global_mm": mm[:, 1].round(7),
        }
    )

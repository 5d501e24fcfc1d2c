"""MERSCOPE as Vizgen's software writes a region: cells in µm, and the transform to pixels of the mosaics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.simulation.layouts.section import Section, WrittenSection

# Where the corner of the mosaics lies on the slide, in µm.
CORNER_UM = (2406.25, -106.5)
BLANKS = 5
_DEPTH_UM = 10.0


def write(folder: Path, section: Section) -> WrittenSection:
    """Write counts, cells, manifest and transform, and the H&E on the pixels of the mosaics."""
    image = folder / f"{section.name}_HE.tif"
    section.write_image(image)
    _write_counts(folder / "cell_by_gene.csv", section)
    _cells(section).to_csv(folder / "cell_metadata.csv", index=False, lineterminator="\n")
    images = folder / "images"
    images.mkdir()
    scale = 1 / section.mpp
    (images / "micron_to_mosaic_pixel_transform.csv").write_text(
        f"{scale!r} 0.0 {-CORNER_UM[0] * scale!r}\n0.0 {scale!r} {-CORNER_UM[1] * scale!r}\n0.0 0.0 1.0\n"
    )
    far = (CORNER_UM[0] + section.width * section.mpp, CORNER_UM[1] + section.height * section.mpp)
    manifest = {
        "microns_per_pixel": section.mpp,
        "mosaic_width_pixels": section.width,
        "mosaic_height_pixels": section.height,
        "bbox_microns": [*CORNER_UM, *far],
        "hor_num_tiles_box": 1,
        "vert_num_tiles_box": 1,
    }
    (images / "manifest.json").write_text(json.dumps(manifest, indent=2))
    return WrittenSection(folder, image)


def _write_counts(path: Path, section: Section) -> None:
    blanks = [f"Blank-{i}" for i in range(1, BLANKS + 1)]
    with open(path, "w", newline="") as stream:
        stream.write(",".join(["cell", *section.symbols, *blanks]) + "\n")
        for start in range(0, len(section.locations), 1000):
            rows = slice(start, start + 1000)
            counts = section.counts[rows].toarray()
            block = pd.DataFrame(np.hstack([counts, np.zeros((len(counts), BLANKS), dtype=counts.dtype)]))
            block.insert(0, "cell", section.locations.names[rows].astype(object))
            block.to_csv(stream, index=False, header=False, lineterminator="\n")


def _cells(section: Section) -> pd.DataFrame:
    centre = section.locations.xy_um + np.array(CORNER_UM)
    radius = section.locations.size_um / 2
    return pd.DataFrame(
        {
            "EntityID": section.locations.names.astype(object),
            "fov": 0,
            "volume": round(np.pi * radius**2 * _DEPTH_UM, 4),
            "center_x": centre[:, 0].round(6),
            "center_y": centre[:, 1].round(6),
            "min_x": (centre[:, 0] - radius).round(6),
            "min_y": (centre[:, 1] - radius).round(6),
            "max_x": (centre[:, 0] + radius).round(6),
            "max_y": (centre[:, 1] + radius).round(6),
        }
    )

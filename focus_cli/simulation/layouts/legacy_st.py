"""Legacy Spatial Transcriptomics: a table of counts, a table of spots and an image in three folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.simulation.layouts.section import Section, WrittenSection


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``ST-cnts``, ``ST-spotfiles`` and ``ST-imgs``, for the selected spots (those on tissue)."""
    spots, name = section.locations, section.name
    image = folder / "ST-imgs" / name[0] / name / f"{name}_HE.tif"
    section.write_image(image)
    counts, files = folder / "ST-cnts", folder / "ST-spotfiles"
    counts.mkdir()
    files.mkdir()
    pd.DataFrame(section.counts.toarray(), index=spots.names, columns=section.symbols).to_csv(
        counts / f"{name}.tsv.gz",
        sep="\t",
        lineterminator="\n",
        compression={"method": "gzip", "compresslevel": 6, "mtime": 0},
    )
    pitch_px = spots.pitch_um / spots.mpp
    # Where the spot was printed, in array units: its place and how far it slipped.
    everywhere = section.all_locations
    places = np.stack([everywhere.array_col, everywhere.array_row], axis=1)
    origin = (everywhere.px / pitch_px - places).mean(axis=0).round(2)
    new = (spots.px / pitch_px - origin).round(3)
    pd.DataFrame(
        {
            "x": spots.array_col,
            "y": spots.array_row,
            "new_x": new[:, 0],
            "new_y": new[:, 1],
            "pixel_x": spots.px[:, 0],
            "pixel_y": spots.px[:, 1],
            "selected": 1,
        }
    ).to_csv(files / f"{name}_selection.tsv", sep="\t", index=False, lineterminator="\n")
    return WrittenSection(folder, image)

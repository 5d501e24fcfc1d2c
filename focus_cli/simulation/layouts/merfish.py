"""A MERFISH section as laboratories publish it: one table of cells, their positions in µm and their counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.simulation.layouts.section import Section, WrittenSection


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``NAME_merfish_all_cells.csv``, with columns as Moffitt et al. 2018 have, and the H&E."""
    cells = section.locations
    image = folder / f"{section.name}_HE.tif"
    section.write_image(image)
    um = cells.xy_um.round(4)
    table = pd.DataFrame(
        {
            "Cell_ID": cells.names,
            "Animal_ID": 1,
            "Bregma": 0.26,
            "Centroid_X": um[:, 0],
            "Centroid_Y": um[:, 1],
            "Cell_class": "unknown",
        }
    )
    blanks = pd.DataFrame(np.zeros((len(cells), 2), dtype=int), columns=["Blank_1", "Blank_2"])
    counts = pd.DataFrame(section.counts.toarray(), columns=section.symbols)
    table = pd.concat([table, blanks, counts], axis=1)
    table.to_csv(folder / f"{section.name}_merfish_all_cells.csv", index=False, lineterminator="\n")
    return WrittenSection(folder, image)

"""STARmap PLUS as the Single Cell Portal holds it: genes × cells, and a table of cells with a line of types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.simulation.layouts.section import Section, WrittenSection


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``NAMEraw_expression_pd.csv`` and ``NAME_spatial.csv``; X and Y are pixels of the H&E."""
    cells = section.locations
    image = folder / f"{section.name}_HE.tif"
    section.write_image(image)
    names = np.array([f"{section.name}_{name}" for name in cells.names], dtype=object)
    counts = pd.DataFrame(section.counts.T.toarray(), index=section.symbols, columns=names)
    counts.to_csv(folder / f"{section.name}raw_expression_pd.csv", index_label="GENE", lineterminator="\n")
    table = pd.DataFrame({"NAME": names})
    for axis, values in zip("XY", cells.px.T):
        table[axis] = [f"{v:.4f}" for v in values]
    table["Z"] = [str(5 * (i % 7)) for i in range(len(cells))]
    table["Main_molecular_cell_type"] = "unknown"
    types = pd.DataFrame([["TYPE", "numeric", "numeric", "numeric", "group"]], columns=table.columns)
    pd.concat([types, table]).to_csv(folder / f"{section.name}_spatial.csv", index=False, lineterminator="\n")
    return WrittenSection(folder, image)

"""A region of Spatial Genomics' seqFISH: cells × genes, coordinates in µm, transcripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.simulation.layouts.section import Section, WrittenSection


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``NAME_CellxGene.csv``, ``NAME_CellCoordinates.csv`` and ``NAME_TranscriptList.csv``, and the H&E."""
    cells = section.locations
    image = folder / f"{section.name}_HE.tif"
    section.write_image(image)
    labels = cells.names.astype(np.int64)
    counts = pd.DataFrame(section.counts.toarray(), index=labels, columns=section.symbols)
    counts.to_csv(folder / f"{section.name}_CellxGene.csv", lineterminator="\n")
    um = cells.xy_um.round(4)
    pd.DataFrame(
        {
            "label": labels,
            "area": round(float(np.pi / 4 * cells.size_um**2), 4),
            "center_x": um[:, 0],
            "center_y": um[:, 1],
        }
    ).to_csv(folder / f"{section.name}_CellCoordinates.csv", index=False, lineterminator="\n")
    entries = section.counts.tocoo()
    pd.DataFrame(
        {
            "name": section.symbols[entries.col],
            "x": um[entries.row, 0],
            "y": um[entries.row, 1],
            "cell": labels[entries.row],
        }
    ).to_csv(folder / f"{section.name}_TranscriptList.csv", index=False, lineterminator="\n")
    return WrittenSection(folder, image)

"""Slide-seqV2: counts of every bead as text, genes × beads, and a table of where the beads lie."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.simulation.layouts.section import Section, WrittenSection


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``NAME.digital_expression.txt.gz``, ``NAME_bead_locations.csv`` and the image.

    Positions are pixels of the image; those of real pucks are 0.65 µm wide.
    """
    image = folder / f"{section.name}_HE.tif"
    section.write_image(image)
    beads = section.locations
    everywhere = section.all_locations
    pd.DataFrame({"barcodes": everywhere.names, "xcoord": everywhere.px[:, 0], "ycoord": everywhere.px[:, 1]}).to_csv(
        folder / f"{section.name}_bead_locations.csv", index=False, lineterminator="\n"
    )
    path = folder / f"{section.name}.digital_expression.txt.gz"
    by_gene = section.counts.T.tocsr()
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="", compresslevel=6) as out:
        out.write(("\t".join(["GENE", *beads.names]) + "\n").encode())
        for i, symbol in enumerate(section.symbols):
            values = np.zeros(len(beads), dtype=np.int64)
            row = slice(by_gene.indptr[i], by_gene.indptr[i + 1])
            values[by_gene.indices[row]] = by_gene.data[row]
            out.write(("\t".join([symbol, *map(str, values.tolist())]) + "\n").encode())
    return WrittenSection(folder, image)

"""osmFISH as its authors publish it: one loom file of genes × cells, pixels and areas among the cells' columns."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from focus_cli.simulation.layouts.section import Section, WrittenSection


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``NAME_all_cells.loom``, and the image beside it."""
    cells = section.locations
    image = folder / f"{section.name}_HE.tif"
    section.write_image(image)
    area = np.full(len(cells), np.pi / 4 * cells.size_um**2)
    path = folder / f"{section.name}_all_cells.loom"
    with h5py.File(path, "w") as loom:
        loom.attrs["description"] = np.bytes_("simulated osmFISH section")
        loom.create_dataset("matrix", data=section.counts.T.toarray().astype(np.int64), compression="gzip")
        for group in ("layers", "row_edges", "col_edges"):
            loom.create_group(group)
        rows, columns = loom.create_group("row_attrs"), loom.create_group("col_attrs")
        rows["Gene"] = section.symbols.astype("S")
        rows["Accession"] = section.gene_ids.astype("S")
        columns["CellID"] = cells.names.astype("S")
        columns["X"], columns["Y"] = cells.px.T
        columns["Valid"] = np.ones(len(cells), dtype=np.int64)
        columns["size_um2"] = area
        columns["size_pix"] = np.round(area / cells.mpp**2, 6)
        columns["Total_molecules"] = np.asarray(section.counts.sum(axis=1)).ravel().astype(np.int64)
    return WrittenSection(path, image)

"""Xenium as Onboard Analysis 2 writes its output folder, with an H&E and its alignment from Xenium Explorer."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.simulation.layouts.section import Section, WrittenSection
from focus_cli.simulation.layouts.tenx import write_matrix

PIXEL_UM = 0.2125
# Features of other types, as every panel has some; none of them counts anything.
CONTROLS = {
    "NegControlProbe_00001": "Negative Control Probe",
    "NegControlProbe_00002": "Negative Control Probe",
    "NegControlCodeword_0500": "Negative Control Codeword",
    "UnassignedCodeword_0001": "Unassigned Codeword",
}


def write(folder: Path, section: Section) -> WrittenSection:
    """Write the manifest, the matrix, the cells, and the H&E in its own pixels beside its alignment."""
    image = folder / f"{section.name}_he_image.tif"
    section.write_image(image)
    # Pixels of the H&E → pixels of the morphology image: both start at the same corner.
    scale = section.mpp / PIXEL_UM
    (folder / f"{section.name}_he_imagealignment.csv").write_text(
        f"{scale!r},0.0,0.0\n0.0,{scale!r},0.0\n0.0,0.0,1.0\n"
    )
    (folder / "experiment.xenium").write_text(json.dumps(_manifest(section), indent=4))
    _write_counts(folder / "cell_feature_matrix.h5", section)
    cells = _cells(section)
    cells.to_csv(
        folder / "cells.csv.gz",
        index=False,
        lineterminator="\n",
        compression={"method": "gzip", "compresslevel": 6, "mtime": 0},
    )
    cells.to_parquet(folder / "cells.parquet", index=False)
    return WrittenSection(folder, image)


def _manifest(section: Section) -> dict[str, object]:
    return {
        "major_version": 5,
        "minor_version": 0,
        "run_name": "simulated",
        "region_name": section.name,
        "preservation_method": "FFPE",
        "num_cells": len(section.locations),
        "panel_organism": "Human",
        "panel_num_targets_predesigned": len(section.symbols),
        "pixel_size": PIXEL_UM,
        "analysis_sw_version": "xenium-2.0.0.10",
        "z_step_size": 3.0,
    }


def _write_counts(path: Path, section: Section) -> None:
    empty = sparse.csr_matrix((len(section.locations), len(CONTROLS)), dtype=section.counts.dtype)
    names = np.array(list(CONTROLS))
    write_matrix(
        path,
        sparse.hstack([section.counts, empty], format="csr"),
        section.locations.names,
        np.concatenate([section.symbols.astype(str), names]),
        np.concatenate([section.gene_ids.astype(str), names]),
        library=section.name,
        chemistry="Xenium",
        software="xenium-2.0.0.10",
    )
    types = ["Gene Expression"] * len(section.symbols) + list(CONTROLS.values())
    with h5py.File(path, "r+") as file:
        del file["matrix/features/feature_type"]
        file.create_dataset("matrix/features/feature_type", data=np.array(types, dtype="S"))


def _cells(section: Section) -> pd.DataFrame:
    xy = section.locations.xy_um.round(6)
    total = np.asarray(section.counts.sum(axis=1)).ravel()
    area = np.pi / 4 * section.locations.size_um**2
    return pd.DataFrame(
        {
            "cell_id": section.locations.names.astype(object),
            "x_centroid": xy[:, 0],
            "y_centroid": xy[:, 1],
            "transcript_counts": total,
            "control_probe_counts": 0,
            "control_codeword_counts": 0,
            "unassigned_codeword_counts": 0,
            "total_counts": total,
            "cell_area": round(area, 6),
            "nucleus_area": round(area / 3, 6),
        }
    )

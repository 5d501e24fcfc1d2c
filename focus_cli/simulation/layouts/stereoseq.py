"""Stereo-seq as SAW 8 writes its ``outs``: a square-bin GEF of single nanoballs, and the registered H&E."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from focus_cli.simulation.layouts.section import Section, WrittenSection
from focus_cli.simulation.streams import stream

DNB_UM = 0.5
VERSION = 4
_NAME = "S64"  # SAW keeps ids and names in 64 bytes


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``outs/feature_expression/NAME.tissue.gef`` and ``outs/image/NAME_HE_regist.tif``."""
    outs = folder / "outs"
    image = outs / "image" / f"{section.name}_HE_regist.tif"
    section.write_image(image)
    (outs / "feature_expression").mkdir(parents=True)
    write_gef(outs / "feature_expression" / f"{section.name}.tissue.gef", section, scatter(section))
    return WrittenSection(folder, image, bin_um=section.locations.size_um)


def scatter(section: Section) -> pd.DataFrame:
    """Lay every UMI of a bin on one of its nanoballs.

    Returns
    -------
    Columns ``gene`` (index), ``x``, ``y`` (nanoballs from the chip's origin), ``count``; one row for each gene
    on each nanoball, sorted by gene, row and column.
    """
    bins = section.locations
    side = round(bins.size_um / DNB_UM)
    counts = section.counts.tocoo()
    which = np.repeat(np.arange(counts.nnz), counts.data)
    within = stream(int(counts.data.sum()), "nanoballs", section.name).integers(0, side, (len(which), 2))
    corner = np.round(bins.xy_um / DNB_UM - side / 2).astype(np.int64)
    xy = corner[counts.row[which]] + within
    table = pd.DataFrame({"gene": counts.col[which], "x": xy[:, 0], "y": xy[:, 1], "count": 1})
    return table.groupby(["gene", "y", "x"], as_index=False, sort=True)["count"].sum()[["gene", "x", "y", "count"]]


def write_gef(path: Path, section: Section, molecules: pd.DataFrame, *, version: int = VERSION) -> None:
    """Write a square-bin GEF with ``bin1``; up to version 3, one name stands for each gene."""
    low, high = molecules[["x", "y"]].min(), molecules[["x", "y"]].max()
    rows = np.zeros(len(molecules), dtype=[("x", "<i4"), ("y", "<i4"), ("count", "<u2")])
    for axis in ("x", "y"):
        rows[axis] = molecules[axis] - low[axis]
    rows["count"] = molecules["count"]
    number = np.bincount(molecules["gene"], minlength=len(section.symbols))
    names = [("geneID", _NAME), ("geneName", _NAME)] if version > 3 else [("gene", _NAME)]
    genes = np.zeros(len(section.symbols), dtype=[*names, ("offset", "<u4"), ("count", "<u4")])
    if version > 3:
        genes["geneID"] = section.gene_ids.astype("S")
        genes["geneName"] = section.symbols.astype("S")
    else:
        genes["gene"] = section.symbols.astype("S")
    genes["count"] = number
    genes["offset"] = np.cumsum(number) - number
    with h5py.File(path, "w") as file:
        file.attrs["version"] = np.array([version], np.uint32)
        file.attrs["resolution"] = np.array([round(1000 * DNB_UM)], np.uint32)
        file.attrs["sn"] = np.bytes_(section.name)
        file.attrs["omics"] = np.bytes_("Transcriptomics")
        group = file.create_group("geneExp/bin1")
        expression = group.create_dataset("expression", data=rows, compression="gzip", compression_opts=4)
        for axis in ("X", "Y"):
            expression.attrs[f"min{axis}"] = np.array([low[axis.lower()]], np.int32)
            expression.attrs[f"max{axis}"] = np.array([high[axis.lower()]], np.int32)
        expression.attrs["maxExp"] = np.array([rows["count"].max()], np.uint32)
        expression.attrs["resolution"] = np.array([round(1000 * DNB_UM)], np.uint32)
        group.create_dataset("gene", data=genes, compression="gzip", compression_opts=4)


def write_gem(path: Path, section: Section, molecules: pd.DataFrame, *, cells: np.ndarray | None = None) -> None:
    """Write GEM text of version 0.2, with a column of cells where they are given."""
    low = molecules[["x", "y"]].min()
    table = pd.DataFrame(
        {
            "geneID": section.gene_ids[molecules["gene"]],
            "geneName": section.symbols[molecules["gene"]],
            "x": molecules["x"] - low["x"],
            "y": molecules["y"] - low["y"],
            "MIDCount": molecules["count"],
            "ExonCount": molecules["count"],
        }
    )
    kind = "Bin\n#BinSize=1" if cells is None else "CellBin\n#BinSize=Cell"
    if cells is not None:
        table["CellID"] = cells
    header = (
        f"#FileFormat=GEMv0.2\n#SortedBy=None\n#BinType={kind}\n#Omics=Transcriptomics\n"
        f"#Stereo-seqChip={section.name}\n#OffsetX={low['x']}\n#OffsetY={low['y']}\n"
    )
    body = table.to_csv(sep="\t", index=False, lineterminator="\n")
    if path.suffix == ".gz":
        with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as out:
            out.write((header + body).encode())
    else:
        path.write_text(header + body, encoding="utf-8")

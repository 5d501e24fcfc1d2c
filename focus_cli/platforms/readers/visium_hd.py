"""Visium HD: `binned_outputs` of Space Ranger 3 and later; fine bins are merged into any coarser size."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli import keys
from focus_cli.errors import MissingResourceError, UsageError
from focus_cli.platforms import pitch
from focus_cli.platforms.formats.spaceranger import (
    POSITIONS,
    Column,
    File,
    Scale,
    find_matrix,
    find_positions,
    read_counted,
)
from focus_cli.platforms.readers.visium import library_id
from focus_cli.platforms.sample import Detection, RawSample
from focus_cli.store import Footprint

NAME = "visium_hd"
DEFAULT_BIN_UM = 8


class HDFile(StrEnum):
    """Names that Visium HD adds to those of `spaceranger.File`; each bin size lies in ``square_XXXum``."""

    BINNED = "binned_outputs"


LOOKS_FOR = f"a folder with {HDFile.BINNED}/square_008um (Space Ranger's outs of Visium HD)"
_SQUARE = re.compile(r"square_(\d{3,})um")


def _binned_folder(path: Path) -> Path | None:
    if path.is_file():
        path = path.parent
    if _SQUARE.fullmatch(path.name) and path.is_dir():
        return path.parent
    for candidate in (path, path / HDFile.BINNED, path / File.OUTS / HDFile.BINNED):
        if candidate.is_dir() and bin_folders(candidate):
            return candidate
    return None


def bin_folders(binned: Path) -> dict[int, Path]:
    """Bin size in µm → folder, for every ``square_XXXum`` in `binned`, the finest first."""
    sizes = {}
    for folder in binned.iterdir():
        match = _SQUARE.fullmatch(folder.name)
        if match and folder.is_dir():
            sizes[int(match.group(1))] = folder
    return dict(sorted(sizes.items()))


def detect(path: Path) -> Detection | None:
    """Recognise a Visium HD folder by its ``square_XXXum`` folders."""
    if path.is_file() and not path.name.endswith("feature_bc_matrix.h5"):
        return None
    binned = _binned_folder(path)
    if binned is None:
        return None
    evidence, problems = [], []
    for folder in bin_folders(binned).values():
        evidence.append(f"{HDFile.BINNED}/{folder.name}")
        if find_matrix(folder) is None:
            problems.append(f"{folder.name}/{File.FILTERED}.h5 is missing")
        if find_positions(folder / File.SPATIAL) is None:
            problems.append(f"{folder.name}/{File.SPATIAL}/{POSITIONS[-1]} is missing")
        if not (folder / File.SPATIAL / File.SCALEFACTORS).is_file():
            problems.append(f"{folder.name}/{File.SPATIAL}/{File.SCALEFACTORS} is missing")
    return Detection(NAME, "3 or later", tuple(evidence), tuple(problems))


def choose_bin(on_disk: dict[int, Path], wanted: float | None, where: str) -> tuple[int, int]:
    """Choose the bin size to read and the factor to merge it by.

    An exact match is read as it is; otherwise the coarsest size that divides `wanted` is merged: the sums are
    the same as from the finest, with the least memory.

    Returns
    -------
    size_um, factor
        The bins made are ``size_um * factor`` wide.

    Raises
    ------
    UsageError
        If no size on disk divides `wanted`.
    """
    if wanted is None:
        if any(DEFAULT_BIN_UM % size == 0 for size in on_disk):
            wanted = DEFAULT_BIN_UM
        else:
            wanted = min(on_disk)
    divisors = [size for size in on_disk if float(wanted) % size == 0]
    if not divisors:
        sizes = ", ".join(str(size) for size in on_disk)
        raise UsageError(
            f"bins of {wanted:g} µm cannot be made from those of {where}: {sizes} µm",
            hint=f"choose a multiple of one of these: --bin-um {min(on_disk) * 2}",
        )
    size = max(divisors)
    return size, round(float(wanted) / size)


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, bin_um: float | None = None) -> RawSample:
    """Read a Visium HD sample.

    Parameters
    ----------
    path
        The folder above ``binned_outputs``, that folder, or one ``square_XXXum`` in it.
    image
        The H&E; otherwise one is looked for beside ``binned_outputs``.
    mpp
        µm per full-resolution pixel; otherwise ``microns_per_pixel``, else the array pitch.
    bin_um
        Side of a bin in µm; by default the ``square_XXXum`` given, else 8.

    Raises
    ------
    MissingResourceError
        If the matrix or the positions are not there.
    UsageError
        If `bin_um` cannot be made.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    binned = _binned_folder(path)
    if binned is None:
        raise MissingResourceError(f"{path}: no {HDFile.BINNED} with square_XXXum", hint=f"give {LOOKS_FOR}")
    folders = bin_folders(binned)
    own = _SQUARE.fullmatch((path.parent if path.is_file() else path).name)
    wanted = bin_um if bin_um is not None else (int(own.group(1)) if own else None)
    size_um, factor = choose_bin(folders, wanted, binned.name)
    folder, side_um = folders[size_um], size_um * factor

    counted = read_counted(folder, folder.name)
    scale, _ = counted.scale(lambda row, column: pitch.square_um(row, column, size_um), mpp, folder)
    if factor > 1:
        counted.adata = merge_bins(counted.adata, counted.spatial.positions, factor, side_um)
        sizes = {str(Scale.BIN): float(side_um), str(Scale.SPOT): side_um / scale}
        counted.spatial.scalefactors = {**counted.spatial.scalefactors, **sizes}

    root = binned.parent if binned.name == HDFile.BINNED else binned
    above = [root.parent] if root.name == File.OUTS else []
    image_folders = [root, root / File.SPATIAL, *above, binned, folder, folder / File.SPATIAL]
    footprint = Footprint("square", float(side_um), float(side_um))
    return counted.finish(NAME, footprint, scale, library_id(root), image, image_folders)


def merge_bins(adata: anndata.AnnData, positions: pd.DataFrame, factor: int, side_um: int) -> anndata.AnnData:
    """Sum square bins into squares of `factor` × `factor`, sparse throughout.

    Parameters
    ----------
    adata
        Bins × genes, with ``array_row`` and ``array_col`` in `obs`.
    positions
        The table of all bins of the array: a coarse bin lies at the mean of all its fine bins, those without
        a molecule too, and is in tissue if any of them is.
    factor
        Fine bins per coarse bin, along one side.
    side_um
        Side of a coarse bin in µm, for its barcode ``s_0NNum_ROW_COL-1``.

    Returns
    -------
    AnnData
        Coarse bins in order of row, then column; the counts' sum is unchanged.
    """
    row, col = str(Column.ARRAY_ROW), str(Column.ARRAY_COL)
    width = int(positions[col].max()) // factor + 1

    def square(table: pd.DataFrame) -> np.ndarray:
        return (table[row].to_numpy() // factor) * width + table[col].to_numpy() // factor

    coarse, member = np.unique(square(adata.obs), return_inverse=True)
    gather = sparse.csr_matrix(
        (np.ones(len(member), np.float32), (member, np.arange(len(member)))), shape=(len(coarse), len(member))
    )
    columns = [str(Column.X_PX), str(Column.Y_PX)]
    by_square = positions.groupby(square(positions))
    table = by_square[columns].mean().loc[coarse]
    table[keys.IN_TISSUE] = by_square[str(Column.IN_TISSUE)].max().loc[coarse]
    table[keys.ARRAY_ROW], table[keys.ARRAY_COL] = coarse // width, coarse % width
    table.index = pd.Index(
        [f"s_{side_um:03d}um_{r:05d}_{c:05d}-1" for r, c in zip(coarse // width, coarse % width)],
        dtype=object,
    )
    counts = sparse.csr_matrix(gather @ adata.X)
    counts.sort_indices()
    return anndata.AnnData(X=counts, obs=table, var=adata.var)

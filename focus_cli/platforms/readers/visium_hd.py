"""Visium HD: `binned_outputs` of Space Ranger 3 and later, and its segmented cells.

Fine bins are merged into any coarser size. Cells (`segmented_outputs` of Space Ranger 4) are read where their folder is
given, or where there are no bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage import Footprint
from focus_cli.platforms import pitch
from focus_cli.platforms.formats.bins import bin_folders, bin_of, bin_of_files, square_size
from focus_cli.platforms.formats.hd_cells import SEGMENTED, find_cells, read_cells
from focus_cli.platforms.formats.outs import POSITIONS, File, find_files, named_sample
from focus_cli.platforms.formats.spaceranger import Column, Scale, read_counted
from focus_cli.platforms.readers.visium import find_outs, library_id
from focus_cli.platforms.sample import Detection, RawSample

NAME = "visium_hd"
DEFAULT_BIN_UM = 8
BINNED = "binned_outputs"
LOOKS_FOR = f"a folder with {BINNED}/square_008um (Space Ranger's outs of Visium HD)"


@dataclass(frozen=True)
class Bins:
    """Where bins lie: the folder of each size, and the folder that holds everything."""

    root: Path
    folders: dict[int, Path]
    region: str | None = None  # of several samples in one folder


def find_bins(path: Path, region: str | None = None) -> Bins | None:
    """The bins that a path means: ``binned_outputs``, what holds it, one of its sizes, or one size taken out of it."""
    folder = path.parent if path.is_file() else path
    if square_size(folder) and folder.is_dir() and folder.name != File.SPATIAL:
        return Bins(_root(folder.parent), bin_folders(folder.parent))
    for candidate in (folder, folder / BINNED, folder / File.OUTS / BINNED):
        if candidate.is_dir() and (sizes := bin_folders(candidate)):
            return Bins(_root(candidate), sizes)
    outs = find_outs(path)
    if region is None and path.is_file():
        region = named_sample(path)
    sizes = {name: bin_of_files(files) for name, files in (find_files(outs) if outs.is_dir() else {}).items()}
    size = sizes.get(region) if region in sizes else next(filter(None, sizes.values()), None)
    return Bins(outs, {size: outs}, region or None) if size else None


def _root(binned: Path) -> Path:
    return binned.parent if binned.name == BINNED else binned


def detect(path: Path) -> Detection | None:
    """Recognise a Visium HD folder by its ``square_XXXum`` folders, its bins, or its cells."""
    cells = find_cells(path)
    if path.is_file() and not path.name.endswith("feature_bc_matrix.h5"):
        return _detect_cells(cells) if cells is not None and path in cells.files() else None
    bins = find_bins(path)
    if bins is None:
        return _detect_cells(cells) if cells is not None else None
    evidence, problems = [], []
    for size, folder in bins.folders.items():
        found = find_files(folder).values()
        evidence.append(f"{BINNED}/{folder.name}" if square_size(folder) else f"bins of {size} µm")
        if not any(files.matrix for files in found):
            problems.append(f"{folder.name}/{File.FILTERED}.h5 is missing")
        if not any(files.positions for files in found):
            problems.append(f"{folder.name}/{File.SPATIAL}/{POSITIONS[-1]} is missing")
        if not any(files.scalefactors for files in found):
            problems.append(f"{folder.name}/{File.SPATIAL}/{File.SCALEFACTORS} is missing")
    if cells is not None:
        evidence.append(f"{cells.folder.name} (its cells are read where that folder is given)")
    return Detection(NAME, "3 or later", tuple(evidence), tuple(problems))


def _detect_cells(cells) -> Detection:
    problems = [f"{SEGMENTED}/{name} is missing" for name in cells.missing()]
    return Detection(NAME, "4 or later", tuple(f"{cells.folder.name}/{path.name}" for path in cells.files()), problems)


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


def read(
    path: Path,
    *,
    image: Path | None = None,
    mpp: float | None = None,
    bin_um: float | None = None,
    region: str | None = None,
) -> RawSample:
    """Read a Visium HD sample.

    Parameters
    ----------
    path
        The folder above ``binned_outputs``, that folder, one ``square_XXXum`` in it, or ``segmented_outputs``.
    image
        The H&E; otherwise one is looked for beside ``binned_outputs``.
    mpp
        µm per full-resolution pixel; otherwise ``microns_per_pixel``, else the array pitch.
    bin_um
        Side of a bin in µm; by default the ``square_XXXum`` given, else 8.
    region
        The name in front of a sample's files, where several samples lie in one folder.

    Raises
    ------
    MissingResourceError
        If the matrix or the positions are not there.
    UsageError
        If `bin_um` cannot be made, or there are several samples and none, or an unknown one, is chosen.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    bins, cells = find_bins(path, region), find_cells(path)
    if cells is not None and (bins is None or SEGMENTED in (path.name, path.parent.name)):
        _refuse_for_cells(cells.folder, bin_um, region)
        root = cells.folder.parent if cells.folder.name == SEGMENTED else cells.folder
        return read_cells(cells, library_id(root), _image_folders(root, cells.folder), image=image, mpp=mpp)
    if bins is None:
        raise MissingResourceError(f"{path}: no {BINNED} with square_XXXum", hint=f"give {LOOKS_FOR}")
    own = square_size(path.parent if path.is_file() else path)
    size_um, factor = choose_bin(bins.folders, bin_um if bin_um is not None else own, bins.root.name)
    folder, side_um = bins.folders[size_um], size_um * factor
    if region is not None and region == library_id(bins.root):
        region = None

    counted = read_counted(folder, folder.name, region or bins.region)
    _check_size(counted.adata.obs_names, size_um, folder)
    scale, _ = counted.scale(lambda row, column: pitch.square_um(row, column, size_um), mpp, folder)
    if factor > 1:
        counted.adata = merge_bins(counted.adata, counted.spatial.positions, factor, side_um)
        sizes = {str(Scale.BIN): float(side_um), str(Scale.SPOT): side_um / scale}
        counted.spatial.scalefactors = {**counted.spatial.scalefactors, **sizes}
    if cells is not None:
        counted.warnings.append(f"{cells.folder.name} lies beside the bins: give that folder to read its cells")
    footprint = Footprint("square", float(side_um), float(side_um))
    folders = _image_folders(bins.root, folder)
    return counted.finish(NAME, footprint, scale, counted.name or library_id(bins.root), image, folders)


def _image_folders(root: Path, folder: Path) -> list[Path]:
    above = [root.parent] if root.name == File.OUTS else []
    return [root, root / File.SPATIAL, *above, folder.parent, folder, folder / File.SPATIAL]


def _refuse_for_cells(folder: Path, bin_um: float | None, region: str | None) -> None:
    if bin_um is not None:
        raise UsageError(f"{folder} holds cells, not bins", hint=f"leave --bin-um out, or give {BINNED}")
    if region is not None:
        raise UsageError(f"{folder}: no sample {region!r}", hint="it holds one sample: leave --region out")


def _check_size(barcodes: pd.Index, size_um: int, folder: Path) -> None:
    """Refuse bins of another size than the name of their folder states."""
    named = bin_of(barcodes)
    if named is not None and named != size_um:
        raise BadInputError(
            f"{folder}: its barcodes are of bins of {named} µm ({barcodes[0]}), where {size_um} µm are expected",
            hint="restore the folders as Space Ranger wrote them",
        )


def merge_bins(adata: anndata.AnnData, positions: pd.DataFrame, factor: int, side_um: int) -> anndata.AnnData:
    """Sum square bins into squares of `factor` × `factor`, sparse throughout.

    Parameters
    ----------
    adata
        Bins × genes, with ``array_row`` and ``array_col`` in `obs`.
    positions
        The table of all bins of the array: a coarse bin lies at the mean of all its fine bins, those without
        a count too, and is in tissue if any of them is.
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

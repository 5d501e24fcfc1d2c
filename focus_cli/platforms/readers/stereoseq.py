"""Stereo-seq: SAW's square-bin and cell-bin GEF, GEM text, and the AnnData files that stereopy writes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage import Footprint, PlatformInfo
from focus_cli.core.storage.hdf5 import open_hdf5
from focus_cli.platforms import images
from focus_cli.platforms.assemble import assemble, cell_footprint, choose_he
from focus_cli.platforms.checks import check_positions
from focus_cli.platforms.dnb import Measured
from focus_cli.platforms.formats.gef import holds_cells, read_cells, read_square
from focus_cli.platforms.formats.gem import gem_header, read_gem
from focus_cli.platforms.formats.h5ad import H5ad, one_section, peek, single_file
from focus_cli.platforms.images import image_size
from focus_cli.platforms.sample import Detection, RawSample

NAME = "stereoseq"
DNB_UM = 0.5  # nanoball to nanoball, unless the file states another
DEFAULT_BIN = 50  # nanoballs: 25 µm


class File(StrEnum):
    """Endings of SAW's files, and where they lie in its output."""

    TISSUE_GEF = ".tissue.gef"
    RAW_GEF = ".raw.gef"
    GEF = ".gef"
    CELLBIN = ".cellbin.gef"
    CGEF = ".cgef"
    GEM = ".gem"
    TISSUE_GEM = ".tissue.gem"
    H5AD = ".h5ad"
    OUTS = "outs"
    EXPRESSION = "feature_expression"
    IMAGE = "image"
    REGISTER = "03.register"
    TISSUECUT = "04.tissuecut"
    COUNT = "02.count"


class Key(StrEnum):
    """Keys of ``uns`` in stereopy's AnnData files."""

    BIN_TYPE = "bin_type"
    BIN_SIZE = "bin_size"
    RESOLUTION = "resolution"
    SN = "sn"


LOOKS_FOR = f"Stereo-seq's *{File.TISSUE_GEF}, *{File.GEM}.gz or stereopy's *{File.H5AD}, or SAW's {File.OUTS}"
_FOLDERS = ("", f"{File.OUTS}/{File.EXPRESSION}", File.EXPRESSION, File.TISSUECUT, File.COUNT)
_IMAGE_FOLDERS = ("", File.IMAGE, f"{File.OUTS}/{File.IMAGE}", File.REGISTER)
_TEXT = (".txt", ".tsv", ".csv")
_MOST_TEXTS = 20  # texts of a folder whose header is looked at


@dataclass(frozen=True)
class Found:
    """The file to read, what it is ("gef", "gem" or "h5ad"), and a cell-bin file beside it."""

    path: Path
    kind: str
    cells: Path | None = None


def _plain(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")


def _kind(path: Path) -> str | None:
    name = _plain(path)
    if name.endswith((File.GEF, File.CGEF, ".bgef")):
        return "gef"
    if name.endswith(File.GEM) or (name.endswith(_TEXT) and gem_header(path) is not None):
        return "gem"
    if name.endswith(File.H5AD) and path.suffix == File.H5AD:
        uns = peek(path).get("uns", ())
        return "h5ad" if Key.BIN_TYPE in uns and {Key.BIN_SIZE, Key.RESOLUTION, Key.SN} & set(uns) else None
    return None


def find_file(path: Path) -> Found | None:
    """The file of a chip that `path` is, or the best one in the folder that `path` is.

    Square bins come before cells, data under tissue before those of the whole chip, and GEF before GEM.

    Raises
    ------
    UsageError
        If a folder holds several chips.
    """
    if path.is_file():
        kind = _kind(path)
        return Found(path, kind) if kind else None
    if not path.is_dir():
        return None
    for folder in (path / f for f in _FOLDERS):
        if not folder.is_dir():
            continue
        files = sorted(p for p in folder.iterdir() if p.is_file())
        cells = [p for p in files if _plain(p).endswith((File.CELLBIN, File.CGEF))]
        others = [p for p in files if p not in cells]
        raw = [p for p in others if _plain(p).endswith(File.RAW_GEF)]
        ranks = (
            [p for p in others if _plain(p).endswith(File.TISSUE_GEF)],
            [p for p in others if _plain(p).endswith(File.GEF) and p not in raw],
            [p for p in others if _plain(p).endswith(File.TISSUE_GEM)],
            [p for p in others if _plain(p).endswith(File.GEM)],
            raw,
            [p for p in [p for p in others if _plain(p).endswith(_TEXT)][:_MOST_TEXTS] if _kind(p)],
            cells,
            [p for p in [single_file(folder)] if p is not None and _kind(p)],
        )
        for found in filter(None, ranks):
            adjusted = [p for p in found if "adjusted" in p.name]
            found = adjusted if found is cells and len(adjusted) == 1 else found
            if len(found) > 1:
                raise UsageError(
                    f"{folder} holds several chips: {', '.join(p.name for p in found[:5])}",
                    hint=f"give one of them, for instance {found[0]}",
                )
            beside = cells[0] if cells and found is not cells and found[0] not in cells else None
            return Found(found[0], _kind(found[0]), beside)
    return None


def detect(path: Path) -> Detection | None:
    """Recognise Stereo-seq by its files' endings, a GEM header, or stereopy's keys."""
    try:
        found = find_file(path)
    except UsageError as error:
        return Detection(NAME, "", (), (error.message,))
    except OSError:
        return None
    if found is None:
        return None
    return Detection(NAME, "", (found.path.name,))


def read(
    path: Path,
    *,
    image: Path | None = None,
    mpp: float | None = None,
    bin_um: float | None = None,
    region: str | None = None,
) -> RawSample:
    """Read one chip as square bins or as cells.

    Cells are read from a cell-bin GEF, from a GEM with a column of cells unless `bin_um` is given, and from
    stereopy's files of cells; everything else is summed to bins. Bins are counted from the chip's origin.

    Parameters
    ----------
    path
        A GEF, GEM or AnnData file, or SAW's output folder.
    image
        The registered H&E, its origin that of the chip; otherwise ``*_HE_regist.tif`` beside the data.
    mpp
        µm per pixel of that image; otherwise one pixel is one nanoball, as SAW registers it.
    bin_um
        Side of a bin in µm, a multiple of the 0.5 µm between nanoballs; 25 by default.
    region
        The section, where an AnnData file joins several.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    UsageError
        If the bin cannot be made from this file, or a region is needed, unknown, or does not apply.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such file or folder: {path}", hint="check the path")
    found = find_file(path)
    if found is None:
        raise BadInputError(f"{path}: no Stereo-seq file", hint=f"give {LOOKS_FOR}")
    if found.kind == "h5ad":
        measured = _read_h5ad(found.path, bin_um, region)
    elif region is not None:
        raise UsageError(f"{found.path.name} holds one chip: --region does not apply", hint="leave --region out")
    else:
        measured = _READERS[found.kind](found.path, bin_um)
    warnings = list(measured.warnings)
    if found.cells is not None and bin_um is None:
        warnings.append(f"bins are read; for segmented cells, give {found.cells}")
    um = measured.nm / 1000
    xy_um = measured.xy * um
    check_positions(xy_um, found.path.name)
    scale = um if mpp is None else mpp
    folders = [folder / f for folder in _around(found.path, path) for f in _IMAGE_FOLDERS]
    picture = _registered(folders) if image is None else None
    picture = picture or choose_he(image, folders)
    if picture is not None:
        warnings += _off_image(xy_um / scale, picture, scale)
    if measured.bin is not None:
        footprint = Footprint("square", measured.bin * um, measured.bin * um)
        place = np.floor(measured.xy / measured.bin).astype(np.int64)
        obs = pd.DataFrame({keys.ARRAY_ROW: place[:, 1], keys.ARRAY_COL: place[:, 0]})
    else:
        area = None if measured.area is None else measured.area * um**2
        footprint = cell_footprint(xy_um, area)
        obs = pd.DataFrame({} if area is None else {"cell_area_um2": area}, index=range(len(xy_um)))
    return assemble(
        platform=PlatformInfo(
            name=NAME,
            version=measured.version,
            technology="sequencing",
            chemistry="poly-A capture",
            preservation="fresh frozen",
            resolution_um=footprint.size_um,
        ),
        counts=measured.counts,
        names=measured.names,
        genes=measured.genes,
        xy_px=xy_um / scale,
        mpp=scale,
        footprint=footprint,
        where=found.path.name,
        inputs={"matrix": found.path},
        warnings=warnings,
        obs=obs,
        image=picture,
    )


def in_nanoballs(bin_um: float, um: float = DNB_UM) -> int:
    """A bin's side in nanoballs.

    Raises
    ------
    UsageError
        If it is no multiple of their distance.
    """
    size = round(bin_um / um)
    if size < 1 or abs(size * um - bin_um) > 1e-6 * bin_um or size > 100_000:
        raise UsageError(
            f"--bin-um {bin_um:g} is no multiple of the {um:g} µm between nanoballs", hint="for instance 25"
        )
    return size


def _read_gef(path: Path, bin_um: float | None) -> Measured:
    if not holds_cells(path):
        um = _pitch_um(path)
        return read_square(path, DEFAULT_BIN if bin_um is None else in_nanoballs(bin_um, um))
    if bin_um is not None:
        raise UsageError(f"{path.name} holds cells: --bin-um does not apply", hint="give the square-bin GEF")
    return read_cells(path)


def _pitch_um(path: Path) -> float:
    """Distance of nanoballs that a GEF file states: 0.5 µm, 0.715 µm on the first chips."""
    try:
        with open_hdf5(path) as file:
            places = [file, *(file[k] for k in ("geneExp/bin1/expression",) if k in file)]
            for place in reversed(places):
                value = np.asarray(place.attrs["resolution"]).ravel() if "resolution" in place.attrs else ()
                if len(value) and 100 <= float(value[0]) <= 5000:
                    return float(value[0]) / 1000
    except Exception:  # its reader reports what is wrong
        pass
    return DNB_UM


def _read_gem(path: Path, bin_um: float | None) -> Measured:
    return read_gem(path, None if bin_um is None else in_nanoballs(bin_um), DEFAULT_BIN)


def _read_h5ad(path: Path, bin_um: float | None, region: str | None) -> Measured:
    """stereopy's AnnData file: positions in nanoballs, corners or centres of bins, as the positions show."""
    with H5ad(path) as data:
        if "spatial" not in data.keys("obsm"):
            raise BadInputError(f"{path.name}: obsm['spatial'] is missing", hint="write it with stereopy again")
        placed, obs = data.positions("spatial"), data.frame("obs")
        counts, genes, _ = data.counts()
        cells = data.scalar(f"uns/{Key.BIN_TYPE}") == "cell_bins"
        size = data.scalar(f"uns/{Key.BIN_SIZE}")
        nm = data.scalar(f"uns/{Key.RESOLUTION}")
    xy, obs, counts, notes = one_section(path, placed, obs, counts, region)
    names = list(obs.index)
    nm = float(nm) if isinstance(nm, (int, float)) and 100 <= nm <= 5000 else 1000 * DNB_UM
    check_positions(xy, path.name)
    if cells:
        if bin_um is not None:
            raise UsageError(f"{path.name} holds cells: --bin-um does not apply", hint="give the square-bin GEF")
        return Measured(names, xy, counts, genes, None, nm=nm, warnings=notes)
    if not isinstance(size, (int, float)) or size != size or not 1 <= size <= 100_000 or size != int(size):
        raise BadInputError(f"{path.name}: uns['{Key.BIN_SIZE}'] is no bin size: {size}", hint="write it again")
    size = int(size)
    if bin_um is not None and in_nanoballs(bin_um, nm / 1000) != size:
        raise UsageError(
            f"{path.name} holds bins of {size * nm / 1000:g} µm, not {bin_um:g}",
            hint="leave --bin-um out",
        )
    if size > 1 and len(xy) and not np.any(xy % size):
        xy = xy + size / 2
        notes.append(f"{path.name}: its positions are the corners of bins; half a bin was added")
    return Measured(names, xy, counts, genes, size, nm=nm, warnings=notes)


_READERS = {"gef": _read_gef, "gem": _read_gem}


def _around(file: Path, given: Path) -> list[Path]:
    """Folders in which SAW's images may lie."""
    folders = [given] if given.is_dir() else []
    folders.append(file.parent)
    if file.parent.name in (File.EXPRESSION, File.TISSUECUT, File.COUNT):
        folders.append(file.parent.parent)
    return folders


def _registered(folders: list[Path]) -> Path | None:
    """SAW's registered H&E, if there is one and no other."""
    for folder in folders:
        if folder.is_dir():
            found = [
                p
                for p in sorted(folder.iterdir())
                if p.is_file() and p.suffix.lower() in images.SUFFIXES and not images.never_he(p)
            ]
            found = [p for p in found if "regist" in p.name.lower() and "HE" in p.stem.upper().split("_")]
            if len(found) == 1:
                return found[0]
    return None


def _off_image(xy_px: np.ndarray, picture: Path, scale: float) -> list[str]:
    size = image_size(picture)
    if size is None or not len(xy_px):
        return []
    beyond = float(np.mean((xy_px < 0).any(axis=1) | (xy_px > np.array(size)).any(axis=1)))
    if beyond < 0.01:
        return []
    return [
        f"{100 * beyond:.0f} % of the positions lie beyond {picture.name} ({size[0]} × {size[1]} px) at {scale:g} µm "
        "per pixel: is it registered to the chip? pass --mpp if its pixels are larger"
    ]

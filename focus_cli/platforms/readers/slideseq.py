"""Slide-seq and Curio Seeker: barcoded beads of 10 µm, a table of their places, a matrix of their counts.

Both state positions in pixels of the microscope that read the beads' barcodes, 0.65 µm wide. That this is so
for Slide-seq follows from its publications (pucks 3 mm wide in images of 6030 × 6030 px), and for Curio Seeker
from its tile files: a tile of 3 mm spans 4,600 to 4,670 units and holds 80,000 beads of 10 µm, which in µm
would lie 16 µm apart on a tile of 4.6 mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage import Footprint, PlatformInfo
from focus_cli.platforms.assemble import assemble, choose_he
from focus_cli.platforms.beads import Column, read_beads
from focus_cli.platforms.checks import GENE_EXPRESSION, check_positions, check_unique
from focus_cli.platforms.formats.h5ad import H5ad, one_section, peek
from focus_cli.platforms.formats.mtx import read_mtx
from focus_cli.platforms.formats.opening import DAMAGE, damaged, open_maybe_gzip
from focus_cli.platforms.formats.text_matrix import read_text_matrix
from focus_cli.platforms.sample import Detection, RawSample

NAME = "slideseq"
BEAD_UM = 10.0
PIXEL_UM = 0.65
# Beads cannot overlap: a median distance to the nearest bead below this means that the scale is wrong.
_CLOSEST_UM = 8.0


class File(StrEnum):
    """Names of version 1; endings of version 2, where the puck's name comes first, and of Curio Seeker."""

    LOCATIONS_1 = "BeadLocationsForR.csv"
    COUNTS_1 = "MappedDGEForR.csv"
    LOCATIONS_2 = "bead_locations.csv"
    MATCHED = "matched_bead_locations.txt"
    COUNTS_2 = "digital_expression.txt"
    CURIO_LOCATIONS = "_MatchedBeadLocation.csv"
    CURIO_COUNTS = "_MoleculesPerMatchedBead.mtx"
    CURIO_BARCODES = "_barcodes.tsv"
    CURIO_GENES = "_genes.tsv"
    CURIO_H5AD = "_anndata.h5ad"


LOOKS_FOR = f"a Slide-seq puck ({File.LOCATIONS_1} and {File.COUNTS_1}, or *.{File.COUNTS_2} and *_{File.LOCATIONS_2})"


@dataclass(frozen=True)
class Puck:
    """The files of one puck; `counts` or `beads` are None where they were not found."""

    version: str  # "1", "2", "curio" or "curio h5ad"
    beads: Path | None
    counts: Path | None


def _ending(folder: Path, *endings: str) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.is_file())
    return [p for p in files if any(p.name.removesuffix(".gz").endswith(e) for e in endings)]


def find_puck(path: Path) -> Puck | None:
    """The files that belong to the puck that `path` is, or that lies in the folder that `path` is.

    Raises
    ------
    UsageError
        If a folder holds several pucks.
    """
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        return None
    named = None if path.is_dir() else path
    for version, beads, counts in (
        ("curio", (File.CURIO_LOCATIONS,), (File.CURIO_COUNTS,)),
        ("1", (File.LOCATIONS_1,), (File.COUNTS_1,)),
        ("2", (File.LOCATIONS_2, File.MATCHED), (File.COUNTS_2,)),
    ):
        tables, matrices = _ending(folder, *beads), _ending(folder, *counts)
        if named is not None:
            if named not in tables and named not in matrices:
                continue
            own = tables if named in tables else matrices
            other = matrices if named in tables else tables
            stem = _stem(named)
            other = [p for p in other if _stem(p) == stem] or (other if len(other) == len(own) == 1 else [])
            own = [named]
            tables, matrices = (own, other) if own[0] in tables else (other, own)
        if not tables and not matrices:
            continue
        if len(tables) > 1 or len(matrices) > 1:
            several = tables if len(tables) > 1 else matrices
            raise UsageError(
                f"{folder} holds several pucks: {', '.join(p.name for p in several[:5])}",
                hint=f"give one of its files, for instance {several[0]}",
            )
        return Puck(version, tables[0] if tables else None, matrices[0] if matrices else None)
    return _curio_h5ad(folder, named)


def _curio_h5ad(folder: Path, named: Path | None) -> Puck | None:
    found = [p for p in _ending(folder, File.CURIO_H5AD) if named is None or p == named]
    if len(found) != 1:
        return None
    if not {"spatial", "X_spatial"} <= set(peek(found[0]).get("obsm", ())):
        return None
    return Puck("curio h5ad", None, found[0])


def _stem(path: Path) -> str:
    """What the names of one puck's files share."""
    name = path.name.removesuffix(".gz")
    ending = max((str(e) for e in File if name.endswith(e)), key=len, default="")
    return name.removesuffix(ending).rstrip("._-")


def detect(path: Path) -> Detection | None:
    """Recognise a puck by the names of its files."""
    try:
        puck = find_puck(path)
    except UsageError as error:
        return Detection(NAME, "", (), (error.message,))
    except OSError:
        return None
    if puck is None:
        return None
    evidence = tuple(p.name for p in (puck.beads, puck.counts) if p is not None)
    problems = []
    if puck.beads is None and puck.version != "curio h5ad":
        problems.append(f"{_expected(puck)[0]} is missing")
    if puck.counts is None:
        problems.append(f"{_expected(puck)[1]} is missing")
    return Detection(NAME, _version(puck), evidence, tuple(problems))


def _version(puck: Puck) -> str:
    return "Curio Seeker" if puck.version.startswith("curio") else puck.version


def _expected(puck: Puck) -> tuple[str, str]:
    return {
        "1": (File.LOCATIONS_1, File.COUNTS_1),
        "2": (f"*_{File.LOCATIONS_2}", f"*.{File.COUNTS_2}.gz"),
    }.get(puck.version, (f"*{File.CURIO_LOCATIONS}", f"*{File.CURIO_COUNTS}"))


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, region: str | None = None) -> RawSample:
    """Read one puck.

    Parameters
    ----------
    path
        Its folder, or one of its files.
    image
        The H&E; otherwise one is looked for beside the data. The vendor gives none.
    mpp
        µm per unit of the beads' coordinates; 0.65 by default, the pixel of the microscope that read them.
    region
        The puck, where an AnnData file of Curio Seeker joins several.

    Raises
    ------
    UsageError
        If a region is needed, unknown, or does not apply.
    MissingResourceError
        If the counts or the locations are not there.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    puck = find_puck(path)
    if puck is None:
        raise MissingResourceError(f"{path}: no Slide-seq files", hint=f"give {LOOKS_FOR}")
    for file, name in zip((puck.beads, puck.counts), _expected(puck)):
        if file is None and puck.version != "curio h5ad":
            raise MissingResourceError(f"{path}: {name} is missing", hint="put the puck's file there")
    inputs = {"matrix": puck.counts}
    if puck.version == "curio h5ad":
        names, xy, genes, counts, warnings = _read_h5ad(puck.counts, region)
    elif region is not None:
        raise UsageError(f"{puck.counts.name} holds one puck: --region does not apply", hint="leave --region out")
    else:
        inputs["positions"] = puck.beads
        names, genes, counts = _read_mtx(puck, inputs) if puck.version == "curio" else _read_table(puck.counts)
        xy, found, warnings = _match(names, read_beads(puck.beads), puck)
        if not found.all():
            counts, names = counts[np.flatnonzero(found)], [n for n, f in zip(names, found) if f]
    check_unique(names, "barcodes", puck.counts.name)
    scale = PIXEL_UM if mpp is None else mpp
    pitch, note = bead_pitch(xy * scale, puck.counts.name)
    return assemble(
        platform=PlatformInfo(
            name=NAME,
            version=_version(puck),
            technology="sequencing",
            chemistry="poly-A capture",
            preservation="fresh frozen",
            resolution_um=BEAD_UM,
        ),
        counts=counts,
        names=names,
        genes=genes,
        xy_px=xy,
        mpp=scale,
        footprint=Footprint("circle", BEAD_UM, pitch),
        where=puck.counts.name,
        inputs=inputs,
        warnings=warnings + note,
        image=choose_he(image, [puck.counts.parent]),
    )


def _match(names: list[str], beads: pd.DataFrame, puck: Puck) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Places of the beads of the matrix, which of them have one, and what was left out."""
    at = pd.Index(beads[str(Column.BARCODE)]).get_indexer(names)
    found = at >= 0
    if found.sum() < 0.5 * len(names):
        raise BadInputError(
            f"positions do not match the matrix: {int(found.sum())} of {len(names)} barcodes of {puck.counts.name} "
            f"are in {puck.beads.name} (the matrix has {names[int(np.argmin(found))]!r}, the table "
            f"{beads[str(Column.BARCODE)].iloc[0]!r})",
            hint="the two files come from different pucks",
        )
    xy = beads[[str(Column.X), str(Column.Y)]].to_numpy()[at[found]]
    missing = int((~found).sum())
    notes = [f"{missing} of {len(names)} beads have no position and were left out"] if missing else []
    return xy, found, notes


def _read_table(path: Path) -> tuple[list[str], pd.DataFrame, sparse.csr_matrix]:
    """Genes × beads as text: names of the beads, genes, CSR beads × genes."""
    genes, beads, counts = read_text_matrix(path)
    check_unique(genes, "genes", path.name)
    return beads, _genes(genes), counts.T.tocsr()


def _genes(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"id": names, "name": names, "type": GENE_EXPRESSION}, dtype=object)


def _read_mtx(puck: Puck, inputs: dict[str, Path]) -> tuple[list[str], pd.DataFrame, sparse.csr_matrix]:
    """Curio Seeker's matrix of genes × beads, and the two lists that name them."""
    lists = []
    for role, ending in (("barcodes", File.CURIO_BARCODES), ("genes", File.CURIO_GENES)):
        name = f"{_stem(puck.counts)}{ending}"
        file = next((p for p in (puck.counts.parent / name, puck.counts.parent / f"{name}.gz") if p.is_file()), None)
        if file is None:
            raise MissingResourceError(f"{puck.counts.parent}: {name} is missing", hint="put the puck's file there")
        inputs[role] = file
        try:
            with open_maybe_gzip(file) as stream:
                lines = stream.read().decode("utf-8").splitlines()
        except DAMAGE as error:
            raise damaged(file, error) from error
        lists.append([line.split("\t")[0].strip('" ') for line in lines if line.strip()])
    barcodes, genes = lists
    matrix = read_mtx(puck.counts).T.tocsr()
    if matrix.shape != (len(barcodes), len(genes)):
        raise BadInputError(
            f"{puck.counts}: {matrix.shape[1]} genes × {matrix.shape[0]} beads, with {len(genes)} genes and "
            f"{len(barcodes)} barcodes named beside it",
            hint="its files come from different pucks, or one is truncated",
        )
    return barcodes, _genes(genes), matrix


def _read_h5ad(path: Path, region: str | None):
    with H5ad(path) as file:
        counts, genes, _ = file.counts()
        placed, obs = file.positions("spatial"), file.frame("obs")
    xy, obs, counts, notes = one_section(path, placed, obs, counts, region)
    return list(obs.index), xy, genes, counts, notes


def bead_pitch(xy_um: np.ndarray, where: str) -> tuple[float, list[str]]:
    """Median distance to the nearest bead in µm, at least a bead's width, and a warning where beads overlap."""
    check_positions(xy_um, where)
    if len(xy_um) < 2:
        raise BadInputError(f"{where}: a single bead has no pitch", hint="give the whole puck")
    near = float(np.median(cKDTree(xy_um).query(xy_um, k=2)[0][:, 1]))
    if near <= 0:
        raise BadInputError(f"{where}: most beads share their position with another", hint="check the positions")
    if near < _CLOSEST_UM:
        return BEAD_UM, [
            f"{where}: beads of {BEAD_UM:g} µm would lie {near:.2g} µm apart, on top of each other: the positions "
            f"are not in pixels of that size (for µm, pass --mpp 1)"
        ]
    return round(max(near, BEAD_UM), 3), []

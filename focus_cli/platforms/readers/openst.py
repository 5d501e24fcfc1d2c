"""Open-ST: cells or meshed spots on a flow cell, in the AnnData files of the openst and spacemake programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import Footprint, PlatformInfo
from focus_cli.platforms.assemble import assemble, cell_footprint, choose_he
from focus_cli.platforms.checks import check_positions
from focus_cli.platforms.formats.h5ad import H5ad, one_section, peek, plain_columns, single_file
from focus_cli.platforms.sample import Detection, RawSample

NAME = "openst"
PIXEL_UM = 0.345  # of the microscope of the published protocol (20×)


class Key(StrEnum):
    """Keys of ``obsm``, the most refined alignment first, and those that identify an Open-ST file."""

    MANUAL_FINE = "spatial_manual_fine"
    FINE = "spatial_pairwise_aligned_fine"
    MANUAL_COARSE = "spatial_manual_coarse"
    COARSE = "spatial_pairwise_aligned_coarse"
    UNALIGNED = "spatial"
    PUCK = "puck_variables"
    MESH = "mesh_variables"
    UNITS = "spatial_units_obs_names"


class Column(StrEnum):
    """Columns of ``obs``."""

    CELL = "cell_ID_mask"  # label of the segmented cell; 0 is what lies in none
    JOINED = "n_joined"
    TILE = "tile_id"


ALIGNED = (Key.MANUAL_FINE, Key.FINE, Key.MANUAL_COARSE, Key.COARSE)
LOOKS_FOR = f"an Open-ST .h5ad (obsm[{str(Key.FINE)!r}], or cells with obs[{str(Column.CELL)!r}])"


@dataclass(frozen=True)
class _Frame:
    """Which positions are read, and how: `swapped` where they are (row, column)."""

    key: Key
    swapped: bool
    aligned: bool


def _recognise(path: Path) -> tuple[str, ...] | None:
    """The keys that identify an Open-ST file, None if there are none."""
    found = peek(path)
    marks = [k for k in found.get("obsm", ()) if k in ALIGNED]
    marks += [k for k in found.get("obs", ()) if k == Column.CELL]
    marks += [k for k in found.get("uns", ()) if k in (Key.PUCK, Key.MESH, Key.UNITS)]
    if not marks or not {Key.UNALIGNED, *ALIGNED} & set(found.get("obsm", ())):
        return None
    return tuple(marks)


def detect(path: Path) -> Detection | None:
    """Recognise an AnnData file of openst or spacemake by its keys."""
    file = single_file(path)
    marks = _recognise(file) if file is not None else None
    if marks is None:
        return None
    return Detection(NAME, "", (file.name, *marks))


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, region: str | None = None) -> RawSample:
    """Read the cells, meshed spots or spots of an Open-ST file.

    The most refined alignment is taken. openst writes aligned positions, and those of segmented cells, as
    (row, column) of the stained image's pixels; they are exchanged here. Positions that were never aligned
    are (x, y) on the flow cell.

    Parameters
    ----------
    path
        The ``.h5ad`` file, or a folder with no other.
    image
        The stained image that the positions were aligned to; otherwise one is looked for beside the file.
        The copy inside the file is not used.
    mpp
        µm per pixel of that image; 0.345 by default.
    region
        The section, where the file joins several.

    Raises
    ------
    UsageError
        If several sections share one frame and none, or an unknown one, is chosen.
    BadInputError
        If the file is damaged, or has no positions or raw counts.
    """
    file = single_file(Path(path))
    if file is None:
        raise BadInputError(f"{path}: no .h5ad file, or several", hint=f"give {LOOKS_FOR}")
    with H5ad(file) as data:
        obs = data.frame("obs")
        frame = _choose(data, obs)
        placed = data.positions(frame.key)
        counts, genes, where = data.counts()
        scale, warnings = _scale(data, frame, mpp)
        mesh_um = data.scalar(f"uns/{Key.MESH}/spot_diameter_um")
    xy, obs, counts, notes = one_section(file, placed, obs, counts, region)
    warnings += notes
    if frame.swapped and not placed.by_name:
        xy = xy[:, ::-1]
    if Column.CELL in obs:
        labels = pd.to_numeric(obs[Column.CELL], errors="coerce").to_numpy(np.float64)
        inside = labels != 0
        if not inside.all() and inside.any():
            outside = counts[np.flatnonzero(~inside)].sum()
            if outside:
                warnings.append(f"{outside:.0f} UMIs outside cells (label 0) were left out")
            obs, xy, counts = obs[inside], xy[inside], counts[np.flatnonzero(inside)]
    check_positions(xy, file.name)
    footprint = _footprint(xy * scale, mesh_um)
    return assemble(
        platform=PlatformInfo(
            name=NAME,
            technology="sequencing",
            chemistry="poly-A capture",
            preservation="fresh frozen",
            resolution_um=footprint.size_um,
        ),
        counts=counts,
        names=list(obs.index),
        genes=genes,
        xy_px=xy,
        mpp=scale,
        footprint=footprint,
        where=where,
        inputs={"matrix": file},
        warnings=warnings,
        obs=plain_columns(obs, list(Column)),
        image=choose_he(image, [file.parent]) if image is not None or single_file(file.parent) == file else None,
    )


def _choose(data: H5ad, obs: pd.DataFrame) -> _Frame:
    known = data.keys("obsm")
    key = next((k for k in ALIGNED if k in known), None)
    if key is not None:
        return _Frame(key, swapped=True, aligned=True)
    if Key.UNALIGNED not in known:
        raise BadInputError(
            f"{data.path.name}: obsm[{str(Key.UNALIGNED)!r}] is missing: the locations have no position",
            hint="give the file that openst or spacemake wrote",
        )
    cells = Column.CELL in obs
    return _Frame(Key.UNALIGNED, swapped=cells, aligned=cells)


def _scale(data: H5ad, frame: _Frame, mpp: float | None) -> tuple[float, list[str]]:
    """µm per unit of the positions, and what is not known about it."""
    if frame.aligned:
        return (PIXEL_UM if mpp is None else mpp), []
    note = f"{data.path.name}: the positions were not aligned to an image"
    if mpp is not None:
        return mpp, [note]
    per_um = data.scalar(f"uns/{Key.PUCK}/coord_by_um")
    if isinstance(per_um, (int, float)) and np.isfinite(per_um) and 1e-4 < per_um < 1e4:
        return 1.0 / float(per_um), [note]
    return PIXEL_UM, [f"{note}, nor does the file state their unit: {PIXEL_UM} µm is assumed (pass --mpp)"]


def _footprint(xy_um: np.ndarray, mesh_um: object) -> Footprint:
    plain = cell_footprint(xy_um)
    if isinstance(mesh_um, (int, float)) and np.isfinite(mesh_um) and 0 < mesh_um < 1e4:
        return Footprint("circle", float(mesh_um), plain.pitch_um)
    return plain

"""Visium: the `outs` folder of Space Ranger 1, 2 and 3, with or without CytAssist."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from focus_cli.platforms import pitch
from focus_cli.platforms.formats.spaceranger import (
    POSITIONS,
    File,
    Scale,
    find_matrix,
    find_positions,
    read_counted,
    version_of,
)
from focus_cli.platforms.sample import Detection, RawSample
from focus_cli.store import Footprint

NAME = "visium"
LOOKS_FOR = f"a folder with {File.FILTERED}(.h5) and {File.SPATIAL}/{File.POSITIONS_2} (Space Ranger's outs)"

SPOT_UM = 55.0
PITCH_UM = 100.0
# Space Ranger states the diameter of a spot as 55 µm in some versions and 65 µm in others.
STATED_SPOT_UM = (55.0, 65.0)


def find_outs(path: Path) -> Path:
    """The folder with the matrix and ``spatial``: `path`, its ``outs``, or the folder of a matrix file."""
    if path.is_file() or path.name in (File.SPATIAL, File.FILTERED, File.RAW):
        return path.parent
    if not (path / File.SPATIAL).is_dir() and (path / File.OUTS).is_dir():
        return path / File.OUTS
    return path


def detect(path: Path) -> Detection | None:
    """Recognise a Visium folder by its positions or its matrix beside a ``spatial`` folder."""
    if path.is_file() and not path.name.endswith("feature_bc_matrix.h5"):
        return None
    outs = find_outs(path)
    if (outs / "binned_outputs").is_dir() or outs.name.startswith("square_"):
        return None
    positions, matrix = find_positions(outs / File.SPATIAL), find_matrix(outs)
    if positions is None and matrix is None:
        return None
    evidence, problems = [], []
    if positions is not None:
        evidence.append(f"{File.SPATIAL}/{positions.name}")
    else:
        problems.append(f"{File.SPATIAL}/{POSITIONS[0]} is missing")
    if matrix is not None:
        evidence.append(matrix[0].name)
    else:
        problems.append(f"{File.FILTERED}.h5 is missing")
    if not (outs / File.SPATIAL / File.SCALEFACTORS).is_file():
        problems.append(f"{File.SPATIAL}/{File.SCALEFACTORS} is missing")
    version = version_of({}, positions) if positions is not None else ""
    return Detection(NAME, version, tuple(evidence), tuple(problems))


def read(path: Path, *, image: Path | None = None, mpp: float | None = None) -> RawSample:
    """Read a Visium sample.

    Parameters
    ----------
    path
        Space Ranger's ``outs`` folder, the folder above it, or the matrix file inside.
    image
        The H&E; otherwise one is looked for beside the data.
    mpp
        µm per full-resolution pixel; otherwise from the array pitch of 100 µm.

    Raises
    ------
    MissingResourceError
        If the matrix or the positions are not there.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    outs = find_outs(Path(path))
    counted = read_counted(outs)
    scale, fit = counted.scale(lambda row, column: pitch.hexagonal_um(row, column, PITCH_UM), mpp, outs)
    counted.warnings += _spot_notes(counted.spatial.scalefactors, scale)
    if fit is not None and fit.mirrored:
        counted.warnings.append(
            "the array appears mirrored on the image: were x and y exchanged, or was the image flipped?"
        )
    footprint = Footprint("circle", SPOT_UM, PITCH_UM)
    return counted.finish(NAME, footprint, scale, library_id(outs), image, _image_folders(outs))


def library_id(outs: Path) -> str:
    """A name for the sample from its folder; ``outs`` says nothing, so its parent's is taken."""
    outs = outs.resolve()
    return (outs.parent.name if outs.name == File.OUTS else outs.name) or NAME


def _image_folders(outs: Path) -> list[Path]:
    folders = [outs, outs / File.SPATIAL]
    return [*folders, outs.resolve().parent] if outs.resolve().name == File.OUTS else folders


def _spot_notes(scalefactors: dict[str, float], mpp: float) -> list[str]:
    stated = scalefactors.get(Scale.SPOT)
    if stated is None:
        return []
    diameter = stated * mpp
    if np.min(np.abs(diameter / np.array(STATED_SPOT_UM) - 1)) <= pitch.TOLERANCE:
        return []
    return [
        f"{Scale.SPOT} of {stated:.4g} px is {diameter:.1f} µm at {mpp:.4g} µm per pixel, "
        "where Space Ranger means 55 or 65 µm"
    ]

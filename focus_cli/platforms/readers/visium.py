"""Visium: the `outs` folder of Space Ranger 1, 2 and 3, with or without CytAssist."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import Footprint
from focus_cli.platforms import pitch
from focus_cli.platforms.formats.aggregated import aggregated_evidence, is_aggregated
from focus_cli.platforms.formats.bins import bin_of
from focus_cli.platforms.formats.outs import POSITIONS, File, Files, find_files, named_sample
from focus_cli.platforms.formats.spaceranger import Counted, Scale, read_counted, read_library, version_of
from focus_cli.platforms.sample import Detection, RawSample

NAME = "visium"
LOOKS_FOR = f"a folder with {File.FILTERED}(.h5) and {File.SPATIAL}/{File.POSITIONS_2} (Space Ranger's outs)"

SPOT_UM = 55.0
PITCH_UM = 100.0
# Space Ranger states the diameter of a spot as 55 µm in some versions and 65 µm in others.
STATED_SPOT_UM = (55.0, 65.0)


def find_outs(path: Path) -> Path:
    """The folder with the matrix and ``spatial``: `path`, its ``outs``, or the folder of a file."""
    if path.is_file():
        path = path.parent
        return path.parent if path.name == File.SPATIAL else path
    if path.name in (File.SPATIAL, File.FILTERED, File.RAW):
        return path.parent
    if not (path / File.SPATIAL).is_dir() and (path / File.OUTS).is_dir():
        return path / File.OUTS
    return path


def detect(path: Path) -> Detection | None:
    """Recognise a Visium folder by its positions or its matrix beside a ``spatial`` folder."""
    outs = find_outs(path)
    if (outs / "binned_outputs").is_dir() or outs.name.startswith("square_"):
        return None
    own = named_sample(path) if path.is_file() else None
    if path.is_file() and own is None:
        return None
    if is_aggregated(outs):
        return Detection(NAME, "aggregated", tuple(aggregated_evidence(outs)))
    # Three files of a Matrix Market matrix are what many instruments write: with positions alone are they Visium's.
    samples = [f for f in find_files(outs).values() if f.positions or (f.matrix and not f.matrix.members)]
    if own is not None:
        samples = [files for files in samples if files.name == own] or samples
    if not samples:
        return None
    evidence, problems = [], []
    positions = next((files.positions for files in samples if files.positions), None)
    for files in samples:
        found = (files.positions, files.matrix and files.matrix.path)
        evidence += [path.relative_to(outs).as_posix() for path in found if path]
    if positions is None:
        problems.append(f"{File.SPATIAL}/{POSITIONS[0]} is missing")
    if not any(files.matrix for files in samples):
        problems.append(f"{File.FILTERED}.h5 is missing")
    if not any(files.scalefactors for files in find_files(outs).values()):
        problems.append(f"{File.SPATIAL}/{File.SCALEFACTORS} is missing")
    version = version_of({}, positions) if positions is not None else ""
    return Detection(NAME, version, tuple(evidence), tuple(problems))


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, region: str | None = None) -> RawSample:
    """Read a Visium sample.

    Parameters
    ----------
    path
        Space Ranger's ``outs`` folder, the folder above it, the matrix file inside, or a folder of files that carry
        the sample's name in front.
    image
        The H&E; otherwise one is looked for beside the data.
    mpp
        µm per full-resolution pixel; otherwise from the array pitch of 100 µm.
    region
        A library of an aggregated run, or the name in front of a sample's files; needed where there are several.

    Raises
    ------
    UsageError
        If there are several samples and none, or an unknown one, is chosen.
    MissingResourceError
        If the matrix or the positions are not there.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    outs = find_outs(path)
    counted, folders = _read_counted(path, outs, region)
    if bin_of(counted.adata.obs_names) is not None:
        raise BadInputError(
            f"{counted.matrix}: its barcodes are bins of Visium HD ({counted.adata.obs_names[0]})",
            hint="read it with --platform visium_hd",
        )
    scale, fit = counted.scale(lambda row, column: pitch.hexagonal_um(row, column, PITCH_UM), mpp, outs)
    counted.warnings += _spot_notes(counted.spatial.scalefactors, scale)
    if fit is not None and fit.mirrored:
        counted.warnings.append(
            "the array appears mirrored on the image: were x and y exchanged, or was the image flipped?"
        )
    footprint = Footprint("circle", SPOT_UM, PITCH_UM)
    return counted.finish(NAME, footprint, scale, counted.name or library_id(outs), image, folders)


def _read_counted(path: Path, outs: Path, region: str | None) -> tuple[Counted, list[Path]]:
    """The sample that is meant, and the folders in which its H&E may lie."""
    if is_aggregated(outs):
        counted = read_library(outs, region)
        return counted, [outs / File.SPATIAL / counted.name]
    if region is None and path.is_file():
        own = named_sample(path)
        region = own if own and find_files(outs).get(own, Files(outs)).complete else None
    elif region == library_id(outs):
        region = None
    counted = read_counted(outs, region=region)
    if counted.name and len([f for f in find_files(outs).values() if f.matrix]) > 1:
        return counted, []  # an H&E beside several samples is of none in particular
    return counted, _image_folders(outs)


def library_id(outs: Path) -> str:
    """A name for the sample from its folder; ``outs`` is not informative, so its parent's is taken."""
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

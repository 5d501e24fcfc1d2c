"""A section as domains see it: vectors of its tissue, whatever kind of file they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.storage import is_sample_id


@dataclass(frozen=True)
class Ground:
    """Where the locations of a file lie.

    Attributes
    ----------
    name
        Of the sample.
    usable
        bool (n,): lies on tissue.
    xy_um
        float64 (n, 2).
    pitch_um, footprint_um
        Distance of neighbours, and width of a location; 0 where the file does not say.
    """

    name: str
    path: Path
    usable: np.ndarray
    xy_um: np.ndarray
    pitch_um: float
    footprint_um: float


@dataclass(frozen=True)
class Section(Ground):
    """One file of ``focus embed`` or ``focus enhance``, as far as domains need it.

    Attributes
    ----------
    space
        What the columns of `vectors` mean. Sections of one space can be divided together.
    widths_um
        Of the kernels in `vectors`.
    vectors
        float32 (n, D): see `focus_cli.analysis.domains.vectors`.
    draws
        Draws of them from the posterior, of the same shape; may be empty.
    molecules
        float64 (n,): what each location gave; None where nothing was counted.
    """

    space: str
    widths_um: tuple[float, ...]
    vectors: np.ndarray
    draws: list[np.ndarray]
    molecules: np.ndarray | None


def read_ground(file: SpatialFile, again: str) -> Ground:
    """Read where the locations of a file lie; `again` is the hint of a refusal.

    Raises
    ------
    BadInputError
        If the sample's name could not name a file, or a length is damaged.
    """
    name = str(file.focus.get("sample_id", ""))
    if not is_sample_id(name):
        raise BadInputError(f"{file.path}: {name!r} is no name of a sample", hint=again)
    try:
        pitch, footprint = (float(file.focus.get(key, 0.0)) for key in ("pitch_um", "footprint_um"))
    except (TypeError, ValueError) as error:
        raise damaged(file.path, again) from error
    return Ground(name, file.path, file.on_tissue, file.xy_um, pitch, footprint)


def damaged(path: Path, again: str) -> BadInputError:
    """The refusal of a file whose vectors cannot be read as such."""
    return BadInputError(f"{path}: vectors or their widths are damaged", hint=again)

"""A section in the vectors that domains are found in: tissue at several widths, and the depth of its counts.

A location as wide as a kernel is already a mean over that piece of tissue: a Visium spot (55 µm) holds a handful of
cells. A kernel of 50 µm around it takes nearly half of its weight from the six spots 100 µm away and blurs what one
spot resolves. At that width the location itself is used. A cell or a fine bin is not replaced: the state of one cell is
its type, not the tissue around it.

Embeddings and estimates rest on shares of counts and do not contain the total. Totals differ between tissues (dense
tumour has many, fat few), and domains are found worse without them (Bhuva et al. 2024,
doi:10.1186/s13059-024-03241-7). The total of a whole section depends on chemistry and sequencing; its median is
subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from focus_cli.analysis.embedding.neighbourhood import neighbourhoods
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
        Distance of neighbours, and width of a location; 0 where the file does not state it.
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
        float32 (n, D): see `focus_cli.analysis.domains.section`.
    draws
        Draws of them from the posterior, of the same shape; may be empty.
    total_counts
        float64 (n,): what each location gave; None where nothing was counted.
    """

    space: str
    widths_um: tuple[float, ...]
    vectors: np.ndarray
    draws: list[np.ndarray]
    total_counts: np.ndarray | None


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


def tissue_vectors(
    location: np.ndarray, neighbourhood: np.ndarray, widths_um: Sequence[float], footprint_um: float
) -> np.ndarray:
    """Neighbourhoods, with the location itself in place of kernels that are no wider than it.

    Parameters
    ----------
    location
        float32 (n, D).
    neighbourhood
        float32 (n, widths · D), one block for each width.
    widths_um
        Standard deviations of the kernels.
    footprint_um
        Width of a location.

    Returns
    -------
    np.ndarray
        float32 (n, widths · D): the same columns on every platform, so samples of several can be pooled.

    Raises
    ------
    ValueError
        If the blocks do not fit.
    """
    if neighbourhood.shape != (len(location), len(widths_um) * location.shape[1]):
        raise ValueError(f"{neighbourhood.shape} is not {len(widths_um)} blocks of {location.shape}")
    blocks = np.split(neighbourhood, len(widths_um), axis=1)
    return np.concatenate(
        [location if width <= footprint_um else block for width, block in zip(widths_um, blocks)], axis=1
    )


def depth_around(section: Section) -> np.ndarray | None:
    """Log counts less the section's median under every kernel, float32 (n, widths); None where none were counted."""
    if section.total_counts is None:
        return None
    counted = (section.total_counts > 0) & section.usable
    if not counted.any():
        return None
    log = np.log(np.where(section.total_counts > 0, section.total_counts, 1))
    # A location without counts is described by those around it.
    log = np.where(section.total_counts > 0, log - np.median(log[counted]), 0).astype(np.float32)[:, None]
    around = neighbourhoods(section.xy_um, log, counted.astype(np.float64), section.widths_um)
    return tissue_vectors(log, around, section.widths_um, section.footprint_um)


def beside(sections: Sequence[Section]) -> list[Section]:
    """Sections with their depth as further columns, as long as the leading axis of the vectors.

    Returns
    -------
    list of Section
        The same sections where one of them has no counts.
    """
    depths = [depth_around(section) for section in sections]
    if any(depth is None for depth in depths):
        return list(sections)
    pooled = np.concatenate([s.vectors[s.usable] for s in sections]).astype(np.float64)
    leading = np.sqrt(np.linalg.eigvalsh(np.cov(pooled.T).reshape(pooled.shape[1], -1))[-1])
    spread = np.concatenate([d[s.usable] for s, d in zip(sections, depths)]).astype(np.float64)
    length = np.sqrt(np.linalg.eigvalsh(np.cov(spread.T).reshape(spread.shape[1], -1))[-1])
    if not length > 0:
        return list(sections)
    scaled = [(depth * (leading / length)).astype(np.float32) for depth in depths]
    return [
        replace(
            section,
            vectors=np.concatenate([section.vectors, depth], axis=1),
            draws=[np.concatenate([draw, depth], axis=1) for draw in section.draws],
        )
        for section, depth in zip(sections, scaled)
    ]

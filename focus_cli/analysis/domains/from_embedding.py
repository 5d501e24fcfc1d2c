"""Sections out of the files of ``focus embed``."""

from __future__ import annotations

import numpy as np

from focus_cli.analysis.domains.section import Section, damaged, read_ground, tissue_vectors
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.spatial_file import SpatialFile

AGAIN = "write it again with focus embed"


def read_embedding(file: SpatialFile) -> Section:
    """Read one embedding.

    Raises
    ------
    BadInputError
        If vectors are missing or damaged.
    """
    ground = read_ground(file, AGAIN)
    try:
        widths = tuple(float(width) for width in file.focus["widths_um"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file.path, AGAIN) from error
    vectors, draws = _vectors(file, "", widths, ground.footprint_um), []
    while file.obsm(f"{keys.NEIGHBOURHOOD}_sample_{len(draws)}") is not None:
        draws.append(_vectors(file, f"_sample_{len(draws)}", widths, ground.footprint_um))
        if draws[-1].shape != vectors.shape:
            raise damaged(file.path, AGAIN)
    total_counts = file.obs[keys.TOTAL_COUNTS].to_numpy(np.float64) if keys.TOTAL_COUNTS in file.obs else None
    if total_counts is not None and not np.isfinite(total_counts).all():
        raise damaged(file.path, AGAIN)
    return Section(
        **vars(ground),
        space=str(file.focus.get("space", "")),
        widths_um=widths,
        vectors=vectors,
        draws=draws,
        total_counts=total_counts,
    )


def _vectors(file: SpatialFile, draw: str, widths: tuple[float, ...], footprint_um: float) -> np.ndarray:
    """What domains look at, float32 (n, widths · D), of the mean or of one draw."""
    arrays = []
    for key in (keys.LOCATION + draw, keys.NEIGHBOURHOOD + draw):
        array = file.obsm(key)
        if array is None:
            raise BadInputError(f"{file.path} has no obsm[{key!r}]", hint=AGAIN)
        arrays.append(np.asarray(array, np.float32))
    try:
        vectors = tissue_vectors(*arrays, widths, footprint_um)
    except (ValueError, IndexError) as error:
        raise damaged(file.path, AGAIN) from error
    if not np.isfinite(vectors).all():
        raise damaged(file.path, AGAIN)
    return vectors

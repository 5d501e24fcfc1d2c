"""Writing ``morphology.zarr``."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from focus_cli.core.errors import UsageError
from focus_cli.core.progress import task
from focus_cli.core.storage import atomic_directory
from focus_cli.core.storage.kinds import PART_FOLDER
from focus_cli.histology.features.grid import Grid, check_bounds
from focus_cli.histology.features.stream import NAMES, WindowStream
from focus_cli.histology.slides.resample import area_weights
from focus_cli.histology.slides.slide import Slide
from focus_cli.histology.slides.tissue import tissue_mask

VERSION = 1  # of the features' definition: a model refuses a raster of another one
FINEST_GRID_UM = 8.0  # the smallest window is evaluated at least this densely
CHUNK = 64  # cells along each side of a stored chunk
_MASK_MPP = 4.0
_MASK_SIDE = 2048


def write_morphology(
    slide: Slide,
    path: str | Path,
    *,
    mpp_image: float,
    step_um: float = 8.0,
    bounds_um: tuple[float, float, float, float] | None = None,
    overwrite: bool = False,
) -> dict:
    """Measure morphology on a regular grid and write it as a zarr v3 group.

    The group holds ``features`` (rows, columns, F) float16, ``tissue`` (rows, columns) float32 (fraction
    of the cell that is tissue), and attributes ``origin_um`` ((x, y) of the centre of cell (0, 0)),
    ``step_um``, ``names``, ``version``, ``scales_um`` and ``work_mpp``. Features are raw: not standardised.

    Parameters
    ----------
    slide
        The H&E.
    path
        Folder to make.
    mpp_image
        µm per image pixel in the sample's coordinates.
    step_um
        Pitch of the grid.
    bounds_um
        (x0, y0, x1, y1) to cover, clipped to the image; default: the whole image.
    overwrite
        Replace an existing folder.

    Returns
    -------
    dict
        The group's attributes, with ``shape`` and ``tissue_fraction`` (mean over the grid).

    Raises
    ------
    UsageError
        If a length is not positive or `bounds_um` is not a box.
    BadInputError
        If `bounds_um` lies outside the image, or the image cannot be decoded.
    OutputExistsError
        If `path` exists and `overwrite` is false.
    """
    import zarr

    for name, value in (("mpp_image", mpp_image), ("step_um", step_um)):
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} must be positive, not {value}")
    width_um, height_um = slide.width * mpp_image, slide.height * mpp_image
    grid = Grid.over(*check_bounds(bounds_um, width_um, height_um), step_um)
    factor = math.ceil(step_um / FINEST_GRID_UM - 1e-9)
    stream = WindowStream(slide, mpp_image, grid.refined(factor))
    attributes = {
        "version": VERSION,
        "origin_um": [grid.x0, grid.y0],
        "step_um": float(step_um),
        "names": list(NAMES),
        "work_mpp": stream.mpp,
    }
    rows = max(8, CHUNK // factor)
    with atomic_directory(Path(path), overwrite, kind=PART_FOLDER) as temporary:
        group = zarr.open_group(store=str(temporary), mode="w", zarr_format=3, attributes=attributes)
        features = group.create_array(
            "features",
            shape=(grid.rows, grid.columns, len(NAMES)),
            chunks=(rows, CHUNK, len(NAMES)),
            dtype="float16",
        )
        with task("measuring morphology", total=grid.rows) as running:
            for first, strip in stream.strips(rows * factor):
                strip = _average(strip, factor)
                top = first // factor
                features[top : top + strip.shape[1]] = np.moveaxis(strip, 0, 2).astype(np.float16)
                running.advance(strip.shape[1])
        fraction = tissue_fraction(slide, mpp_image, grid)
        tissue = group.create_array("tissue", shape=fraction.shape, chunks=(512, 512), dtype="float32")
        tissue[:] = fraction
    return {**attributes, "shape": [grid.rows, grid.columns], "tissue_fraction": float(fraction.mean())}


def _average(strip: np.ndarray, factor: int) -> np.ndarray:
    """Average `factor` × `factor` cells; float32 (F, rows, columns)."""
    if factor == 1:
        return strip
    f, rows, columns = strip.shape
    return strip.reshape(f, rows // factor, factor, columns // factor, factor).mean(axis=(2, 4))


def tissue_fraction(
    slide: Slide, mpp_image: float, grid: Grid, find: Callable[[np.ndarray, float], np.ndarray] = tissue_mask
) -> np.ndarray:
    """Fraction of each cell that is tissue; float32 (rows, columns), 0 outside the slide.

    The mask is made at 4 µm per pixel, or coarser on a slide longer than 2048 such pixels, by `find` (of a thumbnail
    and its µm per pixel).
    """
    longest = max(slide.width, slide.height)
    side = min(longest, math.ceil(longest * mpp_image / _MASK_MPP), _MASK_SIDE)
    picture = slide.thumbnail(side)
    mpp = slide.width * mpp_image / picture.shape[1]
    mask = find(picture, mpp).astype(np.float32)
    down = area_weights(*_edges(grid.y, grid.step, slide.height * mpp_image, mask.shape[0]))
    across = area_weights(*_edges(grid.x, grid.step, slide.width * mpp_image, mask.shape[1]))
    return (across @ np.ascontiguousarray((down @ mask).T)).T


def _edges(centres: np.ndarray, step: float, length_um: float, n: int) -> tuple[np.ndarray, int, int]:
    edges = np.append(centres - step / 2, centres[-1] + step / 2) * (n / length_um)
    return np.clip(edges, 0, n), 0, n

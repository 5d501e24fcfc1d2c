"""Find the nuclei of a slide window by window: bounded memory, and the same nuclei for any size of window."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.progress import print_message, task
from focus_cli.histology.nuclei.appearance import SlideLook, slide_look
from focus_cli.histology.nuclei.backends import open_method
from focus_cli.histology.nuclei.classical import REACH_UM, haematoxylin
from focus_cli.histology.nuclei.measure import measure

if TYPE_CHECKING:
    import pandas as pd

    from focus_cli.histology.slides import Slide

COLUMNS = ("x_um", "y_um", "area_um2", "eccentricity", "haematoxylin")
INDEX = "nucleus"
MPP = 0.5
COARSEST_MPP = 2.2  # beyond it a nucleus has fewer than a dozen pixels
_POOR_MPP = 1.1
TILE_UM = 512.0


@dataclass(frozen=True)
class _Window:
    """A window of the resampled slide: what it reads, and the part of it whose nuclei are its own."""

    read: tuple[int, int, int, int]  # row0, column0, row1, column1
    own: tuple[int, int, int, int]


def find_nuclei(
    slide: Slide,
    *,
    method: str = "classical",
    mpp: float | None = None,
    region_um: tuple[float, float, float, float] | None = None,
    tile_um: float = TILE_UM,
    device: str = "auto",
) -> pd.DataFrame:
    """Find the nuclei of a slide.

    Parameters
    ----------
    slide
        An H&E whose µm per pixel is known.
    method
        ``"classical"`` (built in), ``"instanseg"`` or ``"cellpose"`` (optional libraries).
    mpp
        µm per pixel to work at; default: 0.5, or the slide's own where that is coarser.
    region_um
        (x0, y0, x1, y1) in µm of the slide; default: all.
    tile_um
        Side of the windows. Memory grows with its square; the nuclei do not depend on it (``"classical"``).
    device
        For the optional methods: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    pandas.DataFrame
        Index ``nucleus`` (0, 1, … from top to bottom); float64 ``x_um``, ``y_um`` (centre, level-0 px × slide.mpp),
        ``area_um2``, ``eccentricity`` and ``haematoxylin`` (mean optical density). No row where there are none.

    Raises
    ------
    MissingResourceError
        If the slide's scale is unknown, or the method's library or weights are not there.
    BadInputError
        If the pixels are coarser than 2.2 µm, or the slide has no tissue.
    UsageError
        If the region lies outside the slide, or an option makes no sense.
    """
    own_mpp = slide.require_mpp()
    wanted = max(MPP, own_mpp) if mpp is None else float(mpp)
    if not tile_um >= 64 or not wanted > 0:
        raise UsageError(f"windows of {tile_um:g} µm at {wanted:g} µm per pixel make no sense")
    if max(wanted, own_mpp) > COARSEST_MPP:
        raise BadInputError(
            f"nuclei cannot be distinguished at {max(wanted, own_mpp):.3g} µm per pixel",
            hint=f"give a slide of at most {COARSEST_MPP} µm per pixel, best {MPP}",
        )
    if max(wanted, own_mpp) > _POOR_MPP:
        print_message(f"note: at {max(wanted, own_mpp):.3g} µm per pixel touching nuclei run together")
    segmenter = open_method(method, device)
    shape = (max(1, round(slide.height * own_mpp / wanted)), max(1, round(slide.width * own_mpp / wanted)))
    # µm per working pixel, exactly: the shape is rounded to whole pixels.
    scale = np.array([slide.width / shape[1], slide.height / shape[0]]) * own_mpp
    area = _region_px(region_um, shape, scale)
    look = slide_look(slide, wanted)
    found = []
    windows = list(_windows(area, shape, round(tile_um / wanted), math.ceil(REACH_UM / wanted)))
    with task("finding nuclei", len(windows)) as running:
        for window in windows:
            if look.any_tissue(*np.array(window.own) / (*shape, *shape)):
                found.append(_nuclei(slide, segmenter, window, shape, wanted, look))
            running.advance()
    return _table(found, scale, look, shape)


def _region_px(region_um, shape: tuple[int, int], scale: np.ndarray) -> tuple[int, int, int, int]:
    if region_um is None:
        return 0, 0, *shape
    x0, y0, x1, y1 = (float(v) for v in region_um)
    column0, column1 = (int(np.clip(round(v / scale[0]), 0, shape[1])) for v in (x0, x1))
    row0, row1 = (int(np.clip(round(v / scale[1]), 0, shape[0])) for v in (y0, y1))
    if row0 >= row1 or column0 >= column1:
        width, height = np.array(shape[::-1]) * scale
        raise UsageError(
            f"region {x0:g},{y0:g},{x1:g},{y1:g} µm does not lie on the slide",
            hint=f"X0,Y0,X1,Y1 in µm; the slide is {width:,.0f} × {height:,.0f} µm",
        )
    return row0, column0, row1, column1


def _windows(area: tuple[int, int, int, int], shape: tuple[int, int], side: int, margin: int) -> Iterator[_Window]:
    row0, column0, row1, column1 = area
    for row in range(row0, row1, side):
        for column in range(column0, column1, side):
            own = (row, column, min(row + side, row1), min(column + side, column1))
            outer = (max(own[0] - margin, 0), max(own[1] - margin, 0))
            yield _Window((*outer, min(own[2] + margin, shape[0]), min(own[3] + margin, shape[1])), own)


def _nuclei(slide, segmenter, window: _Window, shape, mpp: float, look: SlideLook) -> np.ndarray:
    """Nuclei that a window owns: float64 (n, 7): seed's row, column, then what `measure` gives, in px."""
    rgb = slide.read_scaled(shape, window.read)
    labels, seeds = segmenter(rgb, mpp, look)
    figures = measure(labels, haematoxylin(rgb, look.glass), seeds)
    row, column = seeds[:, 0] + window.read[0], seeds[:, 1] + window.read[1]
    row0, column0, row1, column1 = window.own
    own = (row >= row0) & (row < row1) & (column >= column0) & (column < column1)
    return np.stack([row, column, *figures.values()], axis=1)[own]


def _table(found: list[np.ndarray], scale: np.ndarray, look: SlideLook, shape: tuple[int, int]) -> pd.DataFrame:
    import pandas as pd

    rows = np.concatenate([np.empty((0, 7)), *found])
    rows = rows[look.on_tissue((rows[:, :2] + 0.5) / shape)]
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    centre = (rows[:, 1::-1] + rows[:, 2:4]) * scale  # (x, y)
    values = np.concatenate([centre, rows[:, 4:5] * scale.prod(), rows[:, 5:]], axis=1)
    return pd.DataFrame(values, columns=list(COLUMNS), index=pd.RangeIndex(len(values), name=INDEX))

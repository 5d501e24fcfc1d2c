"""Where the tiles of a slide lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from focus_cli.core.errors import UsageError
from focus_cli.histology.slides.slide import Slide

# A level whose own scale is this close to the requested one is taken as it is: scanners' stated µm per
# pixel are no better, and resampling by two hundredths would blur every nucleus for nothing.
SAME_SCALE = 0.02


@dataclass(frozen=True)
class Tiling:
    """Squares of one size on a slide.

    Attributes
    ----------
    tile_px
        Side of a tile, px of the tile.
    mpp
        µm per px of the tile.
    centres
        float64 (n, 2): (x, y) of the tiles' centres, level-0 px.
    """

    tile_px: int
    mpp: float
    centres: np.ndarray

    def __len__(self) -> int:
        return len(self.centres)


def level_for(slide: Slide, mpp: float) -> tuple[int, float]:
    """Choose the level from which tiles at `mpp` are made.

    Parameters
    ----------
    slide
        The slide; its scale is known.
    mpp
        µm per px of the tile.

    Returns
    -------
    index
        Number of the level: one whose own scale is within 2 % of `mpp`, else the coarsest finer one.
    ratio
        Its px per px of the tile, exactly 1 where the two scales count as equal; below 1 only where level 0
        is coarser than `mpp`.

    Raises
    ------
    UsageError
        If `mpp` is not positive.
    MissingResourceError
        If the slide's scale is unknown.
    """
    if not (math.isfinite(mpp) and mpp > 0):
        raise UsageError(f"µm per pixel must be positive, not {mpp}")
    scale = mpp / slide.require_mpp()
    nearest = min(range(slide.n_levels), key=lambda i: abs(math.log(slide.downsamples[i] / scale)))
    if abs(slide.downsamples[nearest] / scale - 1) <= SAME_SCALE:
        return nearest, 1.0
    index = slide.best_level(scale)
    return index, scale / slide.downsamples[index]


def tile_slide(
    slide: Slide,
    tile_px: int,
    mpp: float,
    *,
    step_um: float | None = None,
    mask: np.ndarray | None = None,
    mask_mpp: float | None = None,
    min_tissue: float = 0.5,
) -> Tiling:
    """Cover a slide with tiles, row by row from its origin.

    The first tile begins at (0, 0) and the last reach over the edges. Where a level of the slide has the
    requested scale (within 2 %), tiles are whole pixels of it, so that tiles of the file's size are hit
    one to one.

    Parameters
    ----------
    slide
        The slide; its scale is known.
    tile_px
        Side of a tile, px.
    mpp
        µm per px of the tile.
    step_um
        Distance of the centres; by default the tile's side.
    mask
        bool (h, w) over the whole slide, as `tissue_mask` gives it on a thumbnail.
    mask_mpp
        µm per px of the mask; by default the mask is stretched over the slide.
    min_tissue
        Tiles of which a smaller share is tissue are left out; what lies beyond the edge is none. At 0 all
        tiles stay.

    Raises
    ------
    UsageError
        If a number makes no sense, or the mask does not cover the slide.
    MissingResourceError
        If the slide's scale is unknown.
    """
    if tile_px < 1:
        raise UsageError(f"a tile needs a side of at least 1 px, not {tile_px}")
    if step_um is not None and not (math.isfinite(step_um) and step_um > 0):
        raise UsageError(f"the step between tiles must be positive, not {step_um} µm")
    if not 0 <= min_tissue <= 1:
        raise UsageError(f"the share of tissue in a tile lies between 0 and 1, not at {min_tissue}")
    index, ratio = level_for(slide, mpp)
    side = tile_px * ratio * slide.downsamples[index]  # level-0 px
    step = side
    if step_um is not None and not math.isclose(step_um, tile_px * mpp, rel_tol=1e-6):
        step = step_um / slide.require_mpp()
    x, y = _starts(slide.width, side, step), _starts(slide.height, side, step)
    corners = np.empty((len(y), len(x), 2))
    corners[..., 0], corners[..., 1] = x, y[:, None]
    if mask is None:
        corners = corners.reshape(-1, 2)
    else:
        share = _tissue_share(slide, mask, mask_mpp, side)
        corners = np.concatenate([row[share(row) >= min_tissue] for row in corners])
    corners += side / 2
    return Tiling(tile_px, float(mpp), corners)


def _starts(length: int, side: float, step: float) -> np.ndarray:
    """Where tiles begin along one axis so that they reach its end, none wholly beyond it."""
    reach = math.ceil((length - side) / step - 1e-9) + 1
    inside = math.ceil(length / step - 1e-9)
    return np.arange(max(1, min(reach, inside))) * step


def _tissue_share(
    slide: Slide, mask: np.ndarray, mask_mpp: float | None, side: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that gives, for corners (n, 2), which share of each square is tissue, by exact areas; (n,)."""
    if mask.ndim != 2:
        raise UsageError(f"a tissue mask has rows and columns, not the shape {mask.shape}")
    rows, columns = mask.shape
    per_column, per_row = slide.width / columns, slide.height / rows
    if mask_mpp is not None:
        per_column = per_row = mask_mpp / slide.require_mpp()
        if abs(per_column * columns - slide.width) > 2 * per_column or abs(per_row * rows - slide.height) > 2 * per_row:
            raise UsageError(
                f"a mask of {rows} × {columns} px at {mask_mpp:g} µm does not cover {slide.path}, "
                f"{slide.height} × {slide.width} px at {slide.mpp:g} µm"
            )
    # The integral of a step function, bilinear between the corners of its cells.
    integral = np.zeros((rows + 1, columns + 1))
    integral[1:, 1:] = mask.astype(bool).cumsum(0, dtype=np.float64).cumsum(1)

    def share(corners: np.ndarray) -> np.ndarray:
        left, right = (np.clip(v / per_column, 0, columns) for v in (corners[:, 0], corners[:, 0] + side))
        top, bottom = (np.clip(v / per_row, 0, rows) for v in (corners[:, 1], corners[:, 1] + side))
        area = (
            _bilinear(integral, bottom, right)
            - _bilinear(integral, top, right)
            - _bilinear(integral, bottom, left)
            + _bilinear(integral, top, left)
        )
        return area * per_column * per_row / side**2

    return share


def _bilinear(values: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    row, column = (np.minimum(v.astype(np.int64), n - 2) for v, n in zip((y, x), values.shape))
    dy, dx = y - row, x - column
    upper = values[row, column] * (1 - dx) + values[row, column + 1] * dx
    lower = values[row + 1, column] * (1 - dx) + values[row + 1, column + 1] * dx
    return upper * (1 - dy) + lower * dy

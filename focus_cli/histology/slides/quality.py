"""How good a tile or a slide is: empty, inked, folded, out of focus."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.histology.slides.artefacts import clean_tissue, pen_mask, tissue_and_artefacts
from focus_cli.histology.slides.histology import is_histology
from focus_cli.histology.slides.normalise import fit_stains
from focus_cli.histology.slides.sharpness import COARSEST_MPP, OUT_OF_FOCUS, sharpness
from focus_cli.histology.slides.tissue import tissue_mask

if TYPE_CHECKING:
    from focus_cli.histology.slides.slide import Slide

__all__ = ["SlideQuality", "TileQuality", "clean_tissue", "slide_quality", "tile_quality"]

EMPTY = 0.05  # a tile with less tissue than this is empty
INKED = 0.10  # a tile with more ink than this is of no use
_MASK_UM = 4.0  # scale at which a tile's tissue and ink are sought

_THUMBNAIL_UM, _THUMBNAIL_PX = 8.0, 4096
_SAMPLES, _SAMPLE_UM, _SAMPLE_MPP = 48, 256.0, 1.0


@dataclass(frozen=True)
class TileQuality:
    """What `tile_quality` measured.

    Attributes
    ----------
    tissue, pen
        Share of the tile that is tissue (ink left out), and ink.
    sharpness
        See `focus_cli.histology.slides.sharpness`; NaN where it cannot be judged.
    empty, inked, blurred
        Tissue below 0.05; ink above 0.10; sharpness below −0.40.
    """

    tissue: float
    pen: float
    sharpness: float
    empty: bool
    inked: bool
    blurred: bool

    @property
    def good(self) -> bool:
        """Whether the tile is worth learning from."""
        return not (self.empty or self.inked or self.blurred)


def tile_quality(rgb: np.ndarray, mpp: float) -> TileQuality:
    """Judge one tile by itself.

    Folds are not sought: they show against the rest of the slide, on its thumbnail (`clean_tissue`).

    Parameters
    ----------
    rgb
        uint8 (h, w, 3), a tile of at least about 100 µm.
    mpp
        µm per pixel of `rgb`; beyond 2.2 sharpness is not judged.

    Raises
    ------
    UsageError
        If `mpp` is not positive.
    """
    coarse, factor = _averaged(rgb, max(1, int(_MASK_UM / mpp + 0.01)) if mpp > 0 else 1)
    pen = pen_mask(coarse, mpp * factor)
    tissue = tissue_mask(coarse, mpp * factor) & ~pen
    share = float(tissue.mean())
    fine = np.nan
    if share >= EMPTY:
        mask = np.zeros(rgb.shape[:2], bool)
        large = tissue.repeat(factor, axis=0).repeat(factor, axis=1)
        mask[: large.shape[0], : large.shape[1]] = large
        fine = sharpness(rgb, mpp, mask)
    return TileQuality(
        tissue=share,
        pen=float(pen.mean()),
        sharpness=fine,
        empty=share < EMPTY,
        inked=bool(pen.mean() > INKED),
        blurred=bool(fine < OUT_OF_FOCUS),
    )


@dataclass(frozen=True)
class SlideQuality:
    """What `slide_quality` measured.

    Attributes
    ----------
    histology
        Empty for an H&E, else why it is none.
    tissue
        Share of the slide that is tissue.
    pen
        Share of the slide under ink.
    fold
        Share of the tissue in folds.
    blur
        Share of sampled tissue tiles that are out of focus; None where the pixels are too coarse, or without tissue.
    sharpness
        Median over those tiles; None likewise.
    stains
        Haematoxylin and eosin (Macenko), unit density in R, G, B, or None with `stains_reason`.
    """

    histology: str
    tissue: float
    pen: float
    fold: float
    blur: float | None
    sharpness: float | None
    stains: tuple[tuple[float, float, float], tuple[float, float, float]] | None
    stains_reason: str


def slide_quality(slide: Slide) -> SlideQuality:
    """Judge a slide from its thumbnail (8 µm per pixel, at most 4096 px) and 48 tiles of 256 µm spread over its tissue.

    Raises
    ------
    MissingResourceError
        If the slide's scale is unknown.
    BadInputError
        If its pixels cannot be decoded.
    """
    own = slide.require_mpp()
    longest = max(slide.width, slide.height) * own
    thumbnail = slide.thumbnail(max(1, min(_THUMBNAIL_PX, math.ceil(longest / _THUMBNAIL_UM))))
    mpp = longest / max(thumbnail.shape[:2])
    tissue, pen, fold = tissue_and_artefacts(thumbnail, mpp)
    tiles = _sample(slide, tissue & ~pen, max(own, _SAMPLE_MPP))
    fine = []
    if own <= COARSEST_MPP:
        judged = (tile_quality(tile, max(own, _SAMPLE_MPP)) for tile in tiles)
        fine = [q.sharpness for q in judged if not q.empty and not math.isnan(q.sharpness)]
    stains, reason = None, "no tissue"
    if tiles:
        try:
            vectors = fit_stains(np.concatenate([tile.reshape(-1, 3) for tile in tiles])).vectors
            stains, reason = tuple(tuple(round(float(v), 3) for v in row) for row in vectors), ""
        except BadInputError as error:
            reason = error.message
    return SlideQuality(
        histology=is_histology(thumbnail)[1].reason,
        tissue=float(tissue.mean()),
        pen=float(pen.mean()),
        fold=float(fold.sum() / max(tissue.sum(), 1)),
        blur=float(np.mean(np.array(fine) < OUT_OF_FOCUS)) if fine else None,
        sharpness=float(np.median(fine)) if fine else None,
        stains=stains,
        stains_reason=reason,
    )


def _sample(slide: Slide, where: np.ndarray, mpp: float) -> list[np.ndarray]:
    """Tiles around places evenly taken from those of a mask over the whole slide, in reading order."""
    rows, columns = np.nonzero(where)
    if not len(rows):
        return []
    side = _SAMPLE_UM / slide.require_mpp()
    tiles = []
    for i in np.unique(np.linspace(0, len(rows) - 1, _SAMPLES + 2).astype(int)[1:-1]):
        x, y = (columns[i] + 0.5) / where.shape[1] * slide.width, (rows[i] + 0.5) / where.shape[0] * slide.height
        tiles.append(slide.read(x - side / 2, y - side / 2, side, side, mpp))
    return tiles


def _averaged(rgb: np.ndarray, factor: int) -> tuple[np.ndarray, int]:
    """Average blocks of `factor` × `factor` pixels; a remainder at the edge is left out."""
    factor = max(1, min(factor, *rgb.shape[:2]))
    if factor == 1:
        return rgb, 1
    rows, columns = (n // factor for n in rgb.shape[:2])
    blocks = rgb[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
    return np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8), factor

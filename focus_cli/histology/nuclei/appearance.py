"""What of a slide's look all windows share: its glass, its tissue, and how dark its nuclei are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from focus_cli.core.errors import BadInputError
from focus_cli.histology.slides.artefacts import pen_mask
from focus_cli.histology.slides.stain import optical_density, unmix, white_point
from focus_cli.histology.slides.tissue import tissue_mask

if TYPE_CHECKING:
    from focus_cli.histology.slides import Slide

_THUMBNAIL_UM, _THUMBNAIL_PX = 8.0, 4096
_TISSUE_EDGE_UM = 16.0  # nuclei may lie this far beyond the mask of the tissue
_SAMPLES, _SAMPLE_UM = 16, 128.0
_BELOW_OTSU, _LEAST, _MOST = 0.8, 0.08, 0.6
_GLASS_DENSITY = 0.05


@dataclass(frozen=True)
class SlideLook:
    """The look of one slide.

    Attributes
    ----------
    glass
        uint8 (3,): the colour of the empty slide.
    stained
        Haematoxylin from which on a pixel may be a nucleus: 0.8 × Otsu's threshold over samples of the tissue.
    tissue
        bool (h, w): where tissue without ink lies, on a thumbnail of the whole slide.
    """

    glass: np.ndarray
    stained: float
    tissue: np.ndarray

    def on_tissue(self, places: np.ndarray) -> np.ndarray:
        """Whether places, float (n, 2) as (y, x) in shares of the slide, lie on tissue: bool (n,)."""
        shape = np.array(self.tissue.shape)
        return self.tissue[tuple(np.clip((places * shape).astype(int), 0, shape - 1).T)]

    def any_tissue(self, y0: float, x0: float, y1: float, x1: float) -> bool:
        """Whether a box, in shares of the slide, holds tissue."""
        h, w = self.tissue.shape
        return bool(self.tissue[int(y0 * h) : math.ceil(y1 * h), int(x0 * w) : math.ceil(x1 * w)].any())


def slide_look(slide: Slide, mpp: float) -> SlideLook:
    """Measure a slide's look, from a thumbnail and from 16 samples of its tissue at `mpp`.

    Raises
    ------
    BadInputError
        If there is no tissue.
    """
    longest = max(slide.width, slide.height) * slide.require_mpp()
    thumbnail = slide.thumbnail(max(1, min(_THUMBNAIL_PX, math.ceil(longest / _THUMBNAIL_UM))))
    coarse = longest / max(thumbnail.shape[:2])
    tissue = tissue_mask(thumbnail, coarse)
    tissue &= ~pen_mask(thumbnail, coarse)
    if not tissue.any():
        raise BadInputError(f"there is no tissue on {slide.path}", hint="is it an H&E?")
    glass = white_point(thumbnail)
    near = ndimage.binary_dilation(tissue, iterations=max(1, round(_TISSUE_EDGE_UM / coarse)))
    return SlideLook(glass, _stained(slide, tissue, glass, mpp), near)


def _stained(slide: Slide, tissue: np.ndarray, glass: np.ndarray, mpp: float) -> float:
    from skimage.filters import threshold_otsu

    rows, columns = np.nonzero(tissue)
    side = _SAMPLE_UM / slide.require_mpp()
    values = []
    for i in np.linspace(0, len(rows) - 1, _SAMPLES + 2).astype(int)[1:-1]:
        x = (columns[i] + 0.5) * slide.width / tissue.shape[1]
        y = (rows[i] + 0.5) * slide.height / tissue.shape[0]
        rgb = slide.read(x - side / 2, y - side / 2, side, side, mpp)
        covered = (optical_density(rgb) - optical_density(glass)).mean(axis=2) > _GLASS_DENSITY
        values.append(haematoxylin(rgb, glass)[covered])
    pooled = np.concatenate(values)
    if not pooled.size or np.ptp(pooled) < 1e-3:
        return _LEAST
    return float(np.clip(_BELOW_OTSU * threshold_otsu(pooled), _LEAST, _MOST))


def haematoxylin(rgb: np.ndarray, glass: np.ndarray) -> np.ndarray:
    """Return the amount of haematoxylin, float32 (h, w), for a glass of colour `glass`, uint8 (3,)."""
    density = np.maximum(optical_density(rgb) - optical_density(glass), 0)
    return np.ascontiguousarray(unmix(density)[..., 0])

"""Stain normalisation: a slide's colours mapped to those of a reference.

Both normalisers are fitted once for each slide, on its thumbnail or on tiles of it, and then applied to all of its
tiles; fitting each tile on its own would erase what differs between tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from focus_cli.core.errors import BadInputError, UsageError

LIGHT = 240.0  # intensity of the empty glass, as in Macenko's code
_LEAST_DENSITY = 0.15  # natural logarithm; paler pixels are glass
_ANGLE_PERCENT = 1.0  # of pixels beyond each stain's vector, robust extremes
_MAXIMUM_PERCENT = 99.0
_LEAST_PIXELS = 400
_LEAST_ANGLE = 4.0  # degrees between the stains; less is one stain and noise


@dataclass(frozen=True)
class StainFit:
    """The stains of a slide.

    Attributes
    ----------
    vectors
        float64 (2, 3): optical density (natural logarithm) of one unit of haematoxylin and of eosin in R, G, B; unit
        length.
    maxima
        float64 (2,): 99th percentile of the amount of each.
    """

    vectors: np.ndarray
    maxima: np.ndarray


# The reference of Macenko et al. 2009.
REFERENCE_STAINS = StainFit(
    vectors=np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]]), maxima=np.array([1.9705, 1.0308])
)


class Macenko:
    """Map the two stains of a slide to a reference's (Macenko et al., ISBI 2009, 1107–1110).

    Parameters
    ----------
    target
        What the slide shall look like; default: the reference of the paper. `fit_stains` of another slide gives one.
    """

    def __init__(self, target: StainFit = REFERENCE_STAINS) -> None:
        self.target = target
        self.stains: StainFit | None = None

    def fit(self, rgb: np.ndarray) -> Self:
        """Find the stains of a slide.

        Parameters
        ----------
        rgb
            uint8 (..., 3): a thumbnail or a stack of tiles. Glass is left out.

        Raises
        ------
        BadInputError
            If there is too little stained tissue, or only one stain.
        """
        self.stains = fit_stains(rgb)
        # Amounts by least squares, scaled, and mixed again: one matrix from density to density.
        scale = self.target.maxima / self.stains.maxima
        self._matrix = np.linalg.pinv(self.stains.vectors) * scale @ self.target.vectors
        return self

    def normalise(self, rgb: np.ndarray) -> np.ndarray:
        """Return `rgb`, uint8 (..., 3), in the colours of the target; what neither stain explains is dropped."""
        if self.stains is None:
            raise UsageError("a Macenko normaliser was applied before it was fitted", hint="call fit first")
        light = LIGHT * np.exp(-(_natural_density(rgb) @ self._matrix.astype(np.float32)))
        return np.clip(np.rint(light), 0, 255).astype(np.uint8)


class Reinhard:
    """Map mean and standard deviation in CIE L*a*b* to a reference's (Reinhard et al., IEEE CG&A 21 (2001) 34–41).

    The paper works in lαβ; histology's packages, and this one, take L*a*b*, whose lightness is as good as
    independent of its hue, too.

    Parameters
    ----------
    target
        float (2, 3): mean and standard deviation of L*, a*, b*; default: those of `REFERENCE_LAB`.
        `lab_statistics` of another slide gives one.
    """

    def __init__(self, target: np.ndarray | None = None) -> None:
        self.target = np.asarray(REFERENCE_LAB if target is None else target, np.float64)
        self.statistics: np.ndarray | None = None

    def fit(self, rgb: np.ndarray, mask: np.ndarray | None = None) -> Self:
        """Measure a slide.

        Parameters
        ----------
        rgb
            uint8 (..., 3): a thumbnail or a stack of tiles.
        mask
            bool (...): where to measure, for instance the tissue; default: everywhere. A target and a slide with
            different shares of glass need one.

        Raises
        ------
        BadInputError
            If there are too few pixels, or they are all of one colour.
        """
        self.statistics = lab_statistics(rgb, mask)
        return self

    def normalise(self, rgb: np.ndarray) -> np.ndarray:
        """Return `rgb`, uint8 (..., 3), with the statistics of the target."""
        from skimage.color import lab2rgb, rgb2lab

        if self.statistics is None:
            raise UsageError("a Reinhard normaliser was applied before it was fitted", hint="call fit first")
        lab = (rgb2lab(np.asarray(rgb, np.float32) / 255) - self.statistics[0]) / self.statistics[1]
        lab = lab * self.target[1] + self.target[0]
        lab[..., 0] = np.clip(lab[..., 0], 0, 100)
        return np.clip(np.rint(255 * _quietly(lab2rgb, lab)), 0, 255).astype(np.uint8)


# Tissue of a simulated section (seed 0, section 1, 1.5 mm, 1 µm per pixel), measured with `lab_statistics`.
REFERENCE_LAB = np.array([[64.5, 19.7, -9.9], [14.3, 4.8, 6.3]])


def fit_stains(rgb: np.ndarray) -> StainFit:
    """Find haematoxylin and eosin as the extreme directions of a slide's colours (Macenko et al. 2009).

    Parameters
    ----------
    rgb
        uint8 (..., 3).

    Raises
    ------
    BadInputError
        If fewer than 400 pixels are stained, or the directions lie less than 4° apart.
    """
    density = _natural_density(rgb).reshape(-1, 3).astype(np.float64)
    stained = density[(density >= _LEAST_DENSITY).all(axis=1)]
    if len(stained) < _LEAST_PIXELS:
        raise BadInputError(
            f"too little stained tissue to fit its stains: {len(stained)} of {len(density)} pixels",
            hint="fit on a thumbnail or on tiles with tissue",
        )
    plane = np.linalg.eigh(np.cov(stained.T))[1][:, 1:]
    plane[:, plane.sum(axis=0) < 0] *= -1  # towards the stained corner, so that no angle wraps
    along = stained @ plane
    angles = np.arctan2(along[:, 1], along[:, 0])
    ends = np.percentile(angles, [_ANGLE_PERCENT, 100 - _ANGLE_PERCENT])
    if np.degrees(ends[1] - ends[0]) < _LEAST_ANGLE:
        raise BadInputError(
            "only one stain was found, so haematoxylin and eosin cannot be distinguished",
            hint="is this an H&E? fit on a larger part of the slide",
        )
    vectors = np.stack([np.cos(ends), np.sin(ends)], axis=1) @ plane.T
    if vectors[0, 0] < vectors[1, 0]:  # haematoxylin absorbs more red
        vectors = vectors[::-1]
    amounts = density @ np.linalg.pinv(vectors)
    return StainFit(vectors=vectors, maxima=np.percentile(amounts, _MAXIMUM_PERCENT, axis=0))


def lab_statistics(rgb: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Return mean and standard deviation of L*, a*, b*: float64 (2, 3); see `Reinhard.fit`."""
    from skimage.color import rgb2lab

    rgb = np.asarray(rgb)
    pixels = rgb.reshape(-1, 3) if mask is None else rgb[mask]
    if len(pixels) < _LEAST_PIXELS:
        raise BadInputError(
            f"too little tissue to measure its colours: {len(pixels)} pixels", hint="fit on a thumbnail or on tiles"
        )
    lab = rgb2lab(pixels.astype(np.float32)[None] / 255)[0].astype(np.float64)
    statistics = np.stack([lab.mean(axis=0), lab.std(axis=0)])
    if statistics[1].min() < 0.1:
        raise BadInputError("all pixels have one colour, so there is nothing to normalise by", hint="is this an H&E?")
    return statistics


def _natural_density(rgb: np.ndarray) -> np.ndarray:
    """−ln((I + 1) / 240), float32, as Macenko's code takes it."""
    return _DENSITY[np.asarray(rgb)]


def _quietly(function, lab: np.ndarray) -> np.ndarray:
    """Colours outside what a screen shows are clipped; scikit-image would warn of each."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(lab)


_DENSITY = -np.log((np.arange(256) + 1) / LIGHT).astype(np.float32)

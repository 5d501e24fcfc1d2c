"""Maps of morphology that are fitted in closed form, as the network takes them over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LinearMap:
    """From standardised features to K values: weight float32 (K × F) and bias float32 (K)."""

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, weights: np.ndarray) -> LinearMap:
        """From weights with the bias in the last row, (F + 1) × K."""
        weights = weights.astype(np.float32)
        return cls(np.ascontiguousarray(weights[:-1].T), weights[-1])


@dataclass(frozen=True)
class ImageMaps:
    """What is fitted in closed form of the image.

    Attributes
    ----------
    latent, foreign_latent
        To the latent; the second with a strong penalty, for tissue unlike training. 0 where no map predicts tissue that
        it was not fitted on.
    depth, foreign_depth
        float32, F: what a unit of each feature adds to the log of a location's counts, likewise.
    depth_level
        Log of the counts of a typical location: the mean over samples of their medians.
    contrast
        Mean over training samples of `SampleData.contrast`.
    """

    latent: LinearMap
    foreign_latent: LinearMap
    depth: np.ndarray
    foreign_depth: np.ndarray
    depth_level: float
    contrast: float

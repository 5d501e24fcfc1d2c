"""How a model sees the image: which features, on which axes, and the training tissue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from focus_cli.core.errors import BadInputError
from focus_cli.model.conditioning.ood import OodReference
from focus_cli.model.conditioning.sample import SampleData

MAX_AXES = 128  # of one encoder; wider ones are put on their leading principal components
_ROWS = 16384


@dataclass(frozen=True)
class ImageSpace:
    """The image features of a model.

    Attributes
    ----------
    names
        Raw features, in the order of the rasters; empty for a model without an image.
    axes
        float32, raw features × F; None where features are taken as they are.
    encoder
        What the learned encoder of the training samples states, with the pitch of its raster; None without one.
    ood_reference
        Of the tissue that the model was trained on, or None.
    """

    names: tuple[str, ...] = ()
    encoder: dict[str, Any] | None = None
    axes: np.ndarray | None = None
    ood_reference: OodReference | None = None

    @property
    def n_features(self) -> int:
        """F, as the network sees them."""
        return len(self.names) if self.axes is None else self.axes.shape[1]

    def see(self, data: SampleData) -> SampleData:
        """A sample with an image, on these axes.

        Raises
        ------
        BadInputError
            If its image features are not those of the model.
        """
        if list(data.raster.names) == list(self.names):
            return replace(data, axes=self.axes)
        try:
            raster = data.raster.select(self.names)
        except BadInputError as error:
            raise BadInputError(
                f"{data.info.sample_id}: {error.message} that the model was trained with", hint=error.hint
            ) from error
        kept = np.isin(data.raster.names, self.names)
        return replace(
            data,
            raster=raster,
            feature_mean=data.feature_mean[kept],
            feature_sd=data.feature_sd[kept],
            axes=self.axes,
        )


def fit_axes(samples: Sequence[SampleData]) -> np.ndarray | None:
    """Principal components of wide encoders, over the samples' locations.

    The built-in features and narrow encoders keep their own axes. Components of an encoder are scaled by one number, so
    that their mean variance is 1: a penalty then weighs as it does on the features themselves.

    Parameters
    ----------
    samples
        With an image, and features of the same names.

    Returns
    -------
    np.ndarray
        float32, raw features × F; None where no encoder is wider than `MAX_AXES`.
    """
    widths = samples[0].raster.widths
    if max(widths) <= MAX_AXES:
        return None
    covariance = sum(_covariance(data) for data in samples) / len(samples)
    blocks, start = [], 0
    for width in widths:
        own = slice(start, start + width)
        blocks.append(np.eye(width) if width <= MAX_AXES else _leading(covariance[own, own]))
        start += width
    return block_diag(*blocks).astype(np.float32)


def _covariance(data: SampleData) -> np.ndarray:
    """Raw features × raw features, standardised within the sample, over its measured locations."""
    xy = data.xy_um[data.exposure > 0]
    total = 0.0
    for start in range(0, len(xy), _ROWS):
        values = data.footprint_features(xy[start : start + _ROWS]).astype(np.float64)
        total = total + values.T @ values
    return total / max(len(xy), 1)


def _leading(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1][:MAX_AXES], vectors[:, ::-1][:, :MAX_AXES]
    # The sign of an eigenvector is arbitrary: the largest entry decides.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return vectors / np.sqrt(max(values.mean(), 1e-12))

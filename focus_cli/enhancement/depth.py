"""Expected total counts where nothing was measured, from the image and from the locations around."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from focus_cli.enhancement.infer import require_finite
from focus_cli.enhancement.residual import kernel
from focus_cli.model.conditioning import SampleData
from focus_cli.model.network import FocusNet

WIDTH = 0.7  # of the kernel around a point, in units of the pitch
SAMPLE_WEIGHT = 0.5  # of the sample's own level, in locations at distance 0


@dataclass(frozen=True)
class DepthField:
    """Depth over the tissue of one sample: the part of the image, and what measured locations leave to add.

    `weight` is F; `level` the sample's log depth beside the image's part; `residual` its deviation at the measured
    locations `xy_um`.
    """

    data: SampleData
    weight: np.ndarray
    level: float
    xy_um: np.ndarray
    residual: np.ndarray

    def at(self, xy_um: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Counts of a location like the sample's at points in µm (n × 2) with image features (n × F)."""
        log = self.level + features @ self.weight
        if len(self.xy_um):
            pool = kernel(self.xy_um, xy_um, WIDTH * self.data.info.footprint.pitch_um)
            log += (pool @ self.residual) / (np.asarray(pool.sum(axis=1)).ravel() + SAMPLE_WEIGHT)
        with np.errstate(over="ignore"):
            depth = np.exp(log)
        require_finite("counts per location", depth)
        return depth

    def of_locations(self) -> np.ndarray:
        """Counts of the sample's measured locations: those counted, and those expected where none were."""
        exposure = self.data.exposure.copy()
        blank = np.flatnonzero(exposure == 0)
        if len(blank):
            exposure[blank] = self.at(self.data.xy_um[blank], self.data.location_features[blank])
        return exposure


def depth_field(net: FocusNet, data: SampleData, foreign: float = 0.0) -> DepthField:
    """Put the model's map of depth on the level of a sample, or on that of its training where nothing was counted.

    `foreign` is the weight of the map for tissue unlike training, between 0 and 1.
    """
    with torch.no_grad():
        maps = [layer.weight[0].cpu().numpy().astype(np.float64) for layer in (net.depth_map, net.foreign_depth_map)]
        level, contrast = float(net.depth_map.bias), float(net.contrast)
    # Features are standardised within the slide: one with more contrast than those of training varies more in depth.
    weight = np.exp(data.contrast - contrast) * ((1 - foreign) * maps[0] + foreign * maps[1])
    measured = np.flatnonzero(data.exposure > 0)
    xy = data.xy_um[measured]
    if not len(measured):
        return DepthField(data, weight, level, xy, np.zeros(0))
    left = np.log(data.exposure[measured]) - data.location_features[measured] @ weight
    level = float(np.median(left))
    return DepthField(data, weight, level, xy, left - level)

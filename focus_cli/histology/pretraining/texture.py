"""What a hidden patch looks like, in numbers that a microscopist would name: targets beside the teacher's prototypes.

Masked feature prediction (MaskFeat, 2112.09133) with the built-in channels of morphology in the place of gradients'
histograms: a short run on few slides learns from them long before prototypes settle. Targets are taken from the crop
before its stain is changed, so that the student learns to see through the stain.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from focus_cli.histology.features.channels import CHANNELS, measure
from focus_cli.histology.pretraining.losses import summed

N_TARGETS = 2 * len(CHANNELS)
_CLIP = 5.0


def patch_texture(rgb: np.ndarray, mpp: float, patch_px: int) -> np.ndarray:
    """Mean and standard deviation of every channel within every patch.

    Parameters
    ----------
    rgb
        uint8 (h, w, 3), h and w multiples of `patch_px`.
    mpp
        µm per pixel.
    patch_px
        Side of a patch.

    Returns
    -------
    np.ndarray
        float32 (patches, `N_TARGETS`), row by row.
    """
    values, _ = measure(rgb, mpp)
    c, h, w = values.shape
    parts = values.reshape(c, h // patch_px, patch_px, w // patch_px, patch_px)
    both = np.concatenate([parts.mean(axis=(2, 4)), parts.std(axis=(2, 4))])
    return np.ascontiguousarray(both.reshape(N_TARGETS, -1).T)


def texture_targets(texture: Tensor) -> tuple[Tensor, Tensor]:
    """Targets of a batch, in standard deviations over all of its patches (over all processes), within ±5.

    Parameters
    ----------
    texture
        float32 (n, patches, `N_TARGETS`).

    Returns
    -------
    patches
        (n, patches, `N_TARGETS`).
    tiles
        (n, 2 · `N_TARGETS`): mean and standard deviation over the patches of each tile.
    """
    patches = _standardised(texture)
    tiles = torch.cat([patches.mean(dim=1), patches.std(dim=1, unbiased=False)], dim=1)
    return patches, _standardised(tiles)


def texture_loss(patches: Tensor, tiles: Tensor, texture: Tensor) -> Tensor:
    """Smooth L1 of predictions for patches, hidden or not, and for whole tiles, with `texture_targets`."""
    of_patches, of_tiles = texture_targets(texture)
    return F.smooth_l1_loss(patches.float(), of_patches) + F.smooth_l1_loss(tiles.float(), of_tiles)


def _standardised(values: Tensor) -> Tensor:
    flat = values.flatten(0, -2).double()
    total = summed(torch.cat([flat.sum(dim=0), flat.square().sum(dim=0), flat.new_tensor([len(flat)])]))
    n, k = total[-1], flat.shape[1]
    mean = total[:k] / n
    spread = (total[k:-1] / n - mean**2).clamp_min(0).sqrt()
    return ((values - mean) / (spread + 1e-6)).clamp(-_CLIP, _CLIP).to(values.dtype)

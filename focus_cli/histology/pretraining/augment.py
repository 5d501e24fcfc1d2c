"""Views of one tile: crops at random scales and places, turned, stained otherwise, blurred; and masks of patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from focus_cli.histology.pretraining.config import PretrainConfig
from focus_cli.histology.pretraining.texture import patch_texture
from focus_cli.histology.slides.augment import augment_stain


@dataclass(frozen=True)
class Views:
    """The views of one tile.

    Attributes
    ----------
    globals
        uint8 (2, global_px, global_px, 3).
    locals
        uint8 (n, local_px, local_px, 3).
    mask
        bool (2, patches): patches hidden from the student; one of the two global views is masked.
    texture
        float32 (2, patches, targets): what the patches of the global views are like, see `patch_texture`.
    """

    globals: np.ndarray
    locals: np.ndarray
    mask: np.ndarray
    texture: np.ndarray


def make_views(tile: np.ndarray, config: PretrainConfig, patch_px: int, rng: np.random.Generator) -> Views:
    """Draw the views of a tile that was read at ``config.tile_mpp``."""
    cuts = [_cut(tile, config.global_px, config, rng) for _ in range(2)]
    texture = np.stack([patch_texture(cut, config.mpp, patch_px) for cut in cuts])
    large = [_change(cut, config, rng) for cut in cuts]
    small = [_change(_cut(tile, config.local_px, config, rng), config, rng) for _ in range(config.local_crops)]
    n = config.global_px // patch_px
    mask = np.zeros((2, n * n), bool)
    mask[rng.integers(2)] = draw_mask(n, rng.uniform(*config.mask_share), rng).ravel()
    empty = np.zeros((0, config.local_px, config.local_px, 3), np.uint8)
    return Views(np.stack(large), np.stack(small) if small else empty, mask, texture)


def _cut(tile: np.ndarray, side: int, config: PretrainConfig, rng: np.random.Generator) -> np.ndarray:
    """A crop at a random scale and place, turned."""
    low, high = np.log(config.scale_range)
    scale = float(np.exp(rng.uniform(low, high)))
    taken = min(len(tile), max(1, round(side * scale / config.scale_range[0])))
    row, column = rng.integers(0, len(tile) - taken + 1, 2)
    view = resize(tile[row : row + taken, column : column + taken], side)
    return np.ascontiguousarray(turn(view, int(rng.integers(8))))


def _change(view: np.ndarray, config: PretrainConfig, rng: np.random.Generator) -> np.ndarray:
    """Another stain, another focus."""
    if rng.random() < config.stain_share:
        view = augment_stain(view, rng, config.stain_strength, tilt=config.stain_tilt)
    if rng.random() < config.blur_share:
        sigma = rng.uniform(*config.blur_sigma)
        view = gaussian_filter(view, (sigma, sigma, 0), truncate=2.5)
    return np.ascontiguousarray(view)


def resize(rgb: np.ndarray, side: int) -> np.ndarray:
    """Resample a square uint8 (n, n, 3) to `side` px, averaging where it shrinks."""
    if len(rgb) == side:
        return rgb
    image = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
    out = F.interpolate(image, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return out[0].permute(1, 2, 0).numpy()


def turn(rgb: np.ndarray, number: int) -> np.ndarray:
    """Apply one of the eight turns and reflections of the square: no direction is up on a slide."""
    rgb = np.rot90(rgb, number % 4)
    return rgb[:, ::-1] if number >= 4 else rgb


def draw_mask(n: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Hide `share` of n × n patches in blocks (BEiT, 2106.08254), at least one and never all: bool (n, n)."""
    wanted = int(np.clip(round(share * n * n), 1, max(1, n * n - 1)))
    mask = np.zeros((n, n), bool)
    while (left := wanted - int(mask.sum())) > 0:
        area = rng.uniform(min(2, left), left) if left > 1 else 1
        aspect = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3)))
        rows, columns = (int(np.clip(round(v), 1, n)) for v in (np.sqrt(area * aspect), np.sqrt(area / aspect)))
        row, column = rng.integers(0, n - rows + 1), rng.integers(0, n - columns + 1)
        new = np.argwhere(~mask[row : row + rows, column : column + columns])
        new = new[:left] if len(new) > left else new
        mask[row + new[:, 0], column + new[:, 1]] = True
    return mask

"""Stain augmentation for training: the same tissue as another laboratory would have stained it."""

from __future__ import annotations

import numpy as np

from focus_cli.core.errors import UsageError
from focus_cli.histology.slides.stain import STAINS

STRENGTH = 0.2
_SHIFT = 0.1  # of the strength: how far the amount of a stain is shifted, optical density

# Density is counted in whole steps, so that one table turns a sum into a colour.
_STEPS = 1024  # per unit of density: under one grey level
_DARKEST = 2.41
_FLOOR = 5400  # steps that are added to each of three terms, none of which is then negative
_COLOUR = np.clip(np.rint(255 * 10 ** -((np.arange(6 * _FLOOR) - 3 * _FLOOR) / _STEPS)), 0, 255).astype(np.uint8)
_DENSITY = -np.log10(np.maximum(np.arange(256), 1) / 255.0)
_UNMIX = np.linalg.inv(STAINS)


def augment_stain(
    rgb: np.ndarray, rng: np.random.Generator, strength: float = STRENGTH, *, tilt: float = 0.0
) -> np.ndarray:
    """Vary haematoxylin, eosin and the rest, each by a factor and a shift (Tellez et al., IEEE TMI 37 (2018) 2126).

    The amount of each stain is multiplied by U(1 − strength, 1 + strength) and shifted by U(−0.1, 0.1) · strength of
    optical density (the paper takes one range for both; the shift is kept small here so that glass stays pale).

    Parameters
    ----------
    rgb
        uint8 (..., 3): a tile, or tiles that shall share one draw.
    rng
        Same state, same bytes.
    strength
        0 changes nothing; 0.05 is the paper's light augmentation, 0.2 its strong one.
    tilt
        Standard deviation by which each component of the stains' vectors is moved before mixing, as slides differ
        where Macenko's vectors do (between laboratories about 0.05).

    Returns
    -------
    np.ndarray
        uint8 (..., 3).

    Raises
    ------
    UsageError
        If `strength` is not within 0–1, or `tilt` not within 0–0.2.
    """
    if not 0 <= strength <= 1 or not 0 <= tilt <= 0.2:
        raise UsageError(f"stain augmentation of strength {strength} and tilt {tilt} makes no sense")
    factor = 1 + strength * rng.uniform(-1, 1, 3)
    shift = _SHIFT * strength * rng.uniform(-1, 1, 3)
    stains = STAINS + tilt * rng.standard_normal((3, 3))
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    return _recoloured(np.asarray(rgb), (_UNMIX * factor) @ stains, shift @ stains)


def _recoloured(rgb: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Map density linearly: what R, G and B give is looked up and added, for three channels in one 64-bit number."""
    # (3 from, 256, 4 to): each 16-bit field holds whole steps of density above `_FLOOR`, so no sum carries over.
    fields = np.zeros((3, 256, 4), np.uint16)
    steps = np.clip(_DENSITY[None, :, None] * matrix[:, None, :], -2 * _DARKEST, 2 * _DARKEST)
    steps[0] += offset
    fields[..., :3] = np.rint(steps * _STEPS) + _FLOOR
    tables = fields.view(np.uint64)[..., 0]
    total = tables[0][rgb[..., 0]]
    total += tables[1][rgb[..., 1]]
    total += tables[2][rgb[..., 2]]
    return _COLOUR[total[..., None].view(np.uint16)[..., :3]]

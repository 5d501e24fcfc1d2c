"""Masks of training views: counts, genes, locations and modalities that are hidden, and bins shown as spots.

Training and inference use the same mixture of masks. Counts are thinned binomially, which gives independent halves of
Poisson counts (arXiv:2301.07276). Genes are hidden everywhere. Locations are hidden one by one, in patches or
all together; a modality is dropped whole. Where bins are fine, they are shown as coarse spots and predicted as bins,
which teaches the variation between spots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focus_cli.core.statistics.pseudospots import assign_spots, hexagonal_grid
from focus_cli.core.storage import Footprint
from focus_cli.model.training.config import TrainingConfig

LABEL_KINDS = ("organ", "platform", "species")


@dataclass(frozen=True)
class Mask:
    """What may be seen: share of counts, genes, locations, image, reference, platform; which labels may not."""

    share: float
    gene_visible: np.ndarray
    location_visible: np.ndarray
    image: bool
    reference: bool
    platform: bool
    labels_dropped: frozenset[str]


def draw_mask(
    config: TrainingConfig, xy_um: np.ndarray, n_genes: int, has_image: bool, rng: np.random.Generator
) -> Mask:
    """Draw a mask for a view of these locations and genes, with an image or without.

    Hiding everything (all locations and the image) never happens: there would be nothing to learn from.
    """
    n = len(xy_um)
    genes = np.ones(n_genes, bool)
    if rng.random() < config.hide_genes:
        genes = rng.random(n_genes) >= rng.choice([0.1, 0.3, 0.5])
        if not genes.any():
            genes[:] = True
    locations = np.ones(n, bool)
    everything = rng.random() < config.hide_all_locations and has_image
    if everything:
        locations[:] = False
    elif rng.random() < config.hide_locations:
        if rng.random() < 0.5:
            locations = rng.random(n) >= 0.3
        else:
            centre = xy_um[rng.integers(n)]
            distance = np.linalg.norm(xy_um - centre, axis=1)
            locations = distance > np.quantile(distance, rng.uniform(0.1, 0.4))
        if not locations.any():
            locations[rng.integers(n)] = True
    return Mask(
        share=float(rng.choice(config.visible_share)),
        gene_visible=genes,
        location_visible=locations,
        image=bool(everything or rng.random() >= config.drop_image),
        reference=bool(rng.random() >= config.drop_reference),
        platform=bool(rng.random() >= config.drop_platform),
        labels_dropped=frozenset(kind for kind in LABEL_KINDS if rng.random() < config.drop_labels),
    )


SPOT = Footprint("circle", 55.0, 100.0)  # Visium's
SPOTS = 200  # in a window
WINDOW_MAX = 65_536  # bins
FINE = 0.5  # a location at most this share of a spot's diameter is a bin


def is_fine(footprint: Footprint) -> bool:
    """Whether spots can be placed on locations of this footprint."""
    return footprint.size_um <= FINE * SPOT.size_um


def window_size(footprint: Footprint) -> int:
    """Bins that hold about `SPOTS` spots."""
    area = SPOT.pitch_um**2 * np.sqrt(3) / 2
    return min(int(SPOTS * area / footprint.pitch_um**2), WINDOW_MAX)


def lay_spots(xy_um: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lay a grid of spots over bins, turned and shifted at random.

    Returns
    -------
    spot
        Spot of each bin, −1 between the spots; int (n,).
    centres
        Of the spots that hold a bin, µm, float64 (m, 2).
    """
    angle = rng.uniform(0, np.pi / 3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = xy_um @ turn
    centres = hexagonal_grid(turned, SPOT.pitch_um)[0] + rng.uniform(-0.5, 0.5, 2) * SPOT.pitch_um
    spot = assign_spots(turned, centres, SPOT.size_um)
    used = np.unique(spot[spot >= 0])
    place = np.full(len(centres), -1)
    place[used] = np.arange(len(used))
    return np.where(spot >= 0, place[spot], -1), centres[used] @ turn.T

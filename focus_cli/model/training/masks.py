"""Masks: what is hidden in a view. One mixture in training, the same that inference meets.

Counts are thinned binomially, which gives independent halves under a Poisson (arXiv:2301.07276); genes are
hidden everywhere; locations are hidden one by one, in patches, or all; a modality is dropped whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focus_cli.model.training.config import TrainingConfig

LABEL_KINDS = ("organ", "platform", "species")


@dataclass(frozen=True)
class Mask:
    """What may be seen: share of molecules, genes, locations, image, reference, platform; which labels may not."""

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

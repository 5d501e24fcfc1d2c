"""Cell states of the reference on the prior's factors: the memory that the network attends to."""

from __future__ import annotations

import numpy as np

from focus_cli.genes import match_genes
from focus_cli.model.priors import SpatialPrior
from focus_cli.model.priors.statistics import residual_scale

STATE_CLIP = 10.0
LATENT_CLIP = 4.0


def state_latents(reference, prior: SpatialPrior) -> np.ndarray:
    """Latent of each cell state: ridge of its deviation from the mean state on the loadings.

    Parameters
    ----------
    reference
        `focus_cli.genes.reference.Reference`, or None.

    Returns
    -------
    float32, states × K; no rows without a reference. Any reference can be handed over at inference.
    """
    if reference is None:
        return np.zeros((0, prior.n_factors), np.float32)
    prototypes = reference.prototypes
    matched = match_genes(prior.var, prototypes.var)
    known = (matched >= 0) & prior.measured
    proportions = np.asarray(prototypes.X, np.float64)[:, matched[known]]
    mean = proportions.mean(axis=0)
    relative = np.clip(proportions / np.maximum(mean, 1e-9) - 1, -1, STATE_CLIP) * (mean > 1e-7)
    p = prior.baseline[known]
    weight = p * residual_scale(p)
    loadings = prior.loadings[known] * weight[:, None]
    gram = loadings.T @ loadings + np.eye(prior.n_factors)
    latents = np.linalg.solve(gram, (relative * weight @ loadings).T).T
    return np.clip(latents, -LATENT_CLIP, LATENT_CLIP).astype(np.float32)

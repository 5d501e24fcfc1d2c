"""Conditions of the network: labels of a sample (organ, species, platform) and cell states of a reference.

The vocabulary of labels is that of the training samples; a label outside it has no effect. Cell states are given as
latents on the factors of the prior; the network attends to them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from focus_cli.core.storage import SampleInfo
from focus_cli.genes import match_genes
from focus_cli.model.priors import SpatialPrior
from focus_cli.model.priors.statistics import residual_scale


def labels_of(info: SampleInfo) -> tuple[str, ...]:
    """Labels of a sample, such as ``organ:breast``, in lower case; kinds that are not known are left out."""
    known = {"organ": info.organ, "platform": info.platform.name, "species": info.species}
    return tuple(f"{kind}:{word.strip().lower()}" for kind, word in known.items() if word.strip())


def vocabulary(samples: Iterable[SampleInfo]) -> tuple[str, ...]:
    """All labels of some samples, sorted."""
    return tuple(sorted({label for info in samples for label in labels_of(info)}))


def label_codes(info: SampleInfo, known: tuple[str, ...], dropped: frozenset[str] = frozenset()) -> np.ndarray:
    """One-hot codes of a sample's labels, float32, one for each of the vocabulary `known`.

    Parameters
    ----------
    dropped
        Kinds (``organ``, ``platform``, ``species``) that are kept secret.
    """
    own = {label for label in labels_of(info) if label.split(":")[0] not in dropped}
    return np.array([label in own for label in known], np.float32)


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

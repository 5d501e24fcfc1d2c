r"""Sections out of the files of ``focus enhance``: a space that they share although each has sample-specific factors.

What a section varies in and its model does not know stands in factors of that section alone
(`focus_cli.enhancement.sample_factors`). No other section has these axes, so embeddings leave them out; but a factor is
a vector over genes, and genes are what sections share. Two locations are as far apart as the counts that they are
expected to give, in the metric of `focus_cli.analysis.embedding.space`:

.. math:: d^2 = \sum_j \big(p_j\, b_j\, (W_{sj} \cdot z - W_{s'j} \cdot z')\big)^2

over the genes that every section measured, with the loadings W of either section (the model's and its own), and the
baseline p that is the mean of theirs. What is kept are the leading axes of that space along which sections vary within
themselves. They are found without ever making the matrix of locations × genes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce

import numpy as np

from focus_cli.analysis.domains.section import Ground, Section, damaged, read_ground, tissue_vectors
from focus_cli.analysis.embedding.neighbourhood import WIDTHS_UM, neighbourhoods
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.model.priors import MIN_SHARED_GENES, residual_scale

AGAIN = "write it again with focus enhance"
AXES = 20


@dataclass(frozen=True)
class Estimate(Ground):
    """What is known of a section's expression.

    Attributes
    ----------
    genes, baseline, loadings
        Of measured genes: names (m,), mean shares float64 (m,), float64 (m, K).
    latent, draws
        float64 (n, K): posterior mean of the state, sample-specific factors after those of the model, and draws of it.
    """

    genes: np.ndarray
    baseline: np.ndarray
    loadings: np.ndarray
    latent: np.ndarray
    draws: list[np.ndarray]
    total_counts: np.ndarray


def read_estimate(file: SpatialFile) -> Estimate:
    """Read one enhanced file.

    Raises
    ------
    BadInputError
        If latents or loadings are missing or damaged.
    """
    ground = read_ground(file, AGAIN)
    latent, loadings = file.obsm(keys.LATENT), file.varm(keys.LOADINGS)
    if latent is None or loadings is None or keys.BASELINE not in file.var or keys.EXPOSURE not in file.obs:
        raise BadInputError(f"{file.path} does not hold its latent state and loadings", hint=AGAIN)
    own = file.obsm(keys.SAMPLE_FACTORS)
    parts, draws = [latent] if own is None else [latent, own], []
    latent = np.concatenate([np.asarray(part, np.float64) for part in parts], axis=1)
    while (draw := file.obsm(f"{keys.LATENT}_sample_{len(draws)}")) is not None:
        draws.append(np.asarray(draw, np.float64))
    loadings = np.asarray(loadings, np.float64)
    if any(part.shape[1] != loadings.shape[1] for part in (latent, *draws)):
        raise damaged(file.path, AGAIN)
    measured = file.measured
    baseline = file.var[keys.BASELINE].to_numpy(np.float64)[measured]
    total_counts = file.obs[keys.EXPOSURE].to_numpy(np.float64)
    if not all(np.isfinite(part).all() for part in (latent, loadings, baseline, total_counts, *draws)):
        raise damaged(file.path, AGAIN)
    return Estimate(
        **vars(ground),
        genes=file.var.index.to_numpy(str)[measured],
        baseline=baseline,
        loadings=loadings[measured],
        latent=latent,
        draws=draws,
        total_counts=total_counts,
    )


def sections_of(estimates: Sequence[Estimate]) -> list[Section]:
    """Sections in the space of the genes that all of them measured.

    Raises
    ------
    BadInputError
        If they share too few genes.
    """
    genes = reduce(np.intersect1d, [estimate.genes for estimate in estimates])
    if len(genes) < MIN_SHARED_GENES:
        raise BadInputError(
            f"{', '.join(e.name for e in estimates)} share {len(genes)} measured genes; {MIN_SHARED_GENES} are needed",
            hint="divide samples of unlike panels apart",
        )
    baseline, loadings = [], []
    for estimate in estimates:
        order = np.argsort(estimate.genes)
        rows = order[np.searchsorted(estimate.genes[order], genes)]
        baseline.append(estimate.baseline[rows])
        loadings.append(estimate.loadings[rows])
    mean = np.mean(baseline, axis=0)
    scale = (mean * residual_scale(mean))[:, None]
    loadings = [own * scale for own in loadings]
    axes = _leading_axes(loadings, estimates)
    space = f"expression of {len(genes)} genes/{','.join(f'{width:g}' for width in WIDTHS_UM)}um"
    return [_section(estimate, own.T @ axes, space) for estimate, own in zip(estimates, loadings)]


def _leading_axes(loadings: Sequence[np.ndarray], estimates: Sequence[Estimate]) -> np.ndarray:
    """Orthonormal axes over genes (m, ≤ AXES) of what varies within sections."""
    from sklearn.utils.extmath import randomized_svd

    parts = []
    for own, estimate in zip(loadings, estimates):
        state = estimate.latent[estimate.usable]
        # Columns whose outer product is the section's scatter over genes.
        parts.append(own @ np.linalg.qr(state - state.mean(axis=0), mode="r").T)
    together = np.concatenate(parts, axis=1)
    axes, length, _ = randomized_svd(together, min(AXES, *together.shape), n_iter=7, random_state=0)
    return axes[:, : max(1, int((length > 1e-6 * length[0]).sum()))]


def _section(estimate: Estimate, to_axes: np.ndarray, space: str) -> Section:
    ground = Ground(*(getattr(estimate, field.name) for field in fields(Ground)))

    def tissue(state: np.ndarray) -> np.ndarray:
        location = (state @ to_axes).astype(np.float32)
        around = neighbourhoods(ground.xy_um, location, ground.usable.astype(np.float64), WIDTHS_UM)
        return tissue_vectors(location, around, WIDTHS_UM, ground.footprint_um)

    return Section(
        **vars(ground),
        space=space,
        widths_um=WIDTHS_UM,
        vectors=tissue(estimate.latent),
        draws=[tissue(draw) for draw in estimate.draws],
        total_counts=estimate.total_counts,
    )

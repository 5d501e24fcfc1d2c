"""Training examples: a window of a sample, a mask, and what the mask hides as the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.spatial import cKDTree
from torch import Tensor

from focus_cli.conditioning import SampleData, View, make_view
from focus_cli.conditioning.labels import label_codes
from focus_cli.priors import SpatialPrior, build_pooling, panel_statistics
from focus_cli.priors.statistics import residual_scale
from focus_cli.thinning import thin
from focus_cli.training.config import TrainingConfig
from focus_cli.training.masks import draw_mask


@dataclass(frozen=True)
class GeneBatch:
    """Genes of a view on which counts are scored: loadings G × K, log baseline G; `unseen` as in the mask."""

    loadings: Tensor
    log_baseline: Tensor
    unseen: Tensor


@dataclass(frozen=True)
class TrainingView:
    """A view, its query points (locations × points × 2 and × F), and the hidden counts.

    `target_statistics` (N × K) lie in the eigenbasis `target_basis` with `target_precision`;
    `target_exposure` is E of the hidden molecules; `counts` is N × G dense over `genes`, each scored
    against the mean share times `count_exposure` (N × G).
    """

    view: View
    points: np.ndarray
    point_features: np.ndarray
    target_statistics: Tensor
    target_exposure: Tensor
    target_basis: Tensor
    target_precision: Tensor
    genes: GeneBatch
    counts: Tensor
    count_exposure: Tensor

    @property
    def n_locations(self) -> int:
        """N."""
        return len(self.points)


class ViewMaker:
    """Draws training views of one sample.

    Parameters
    ----------
    data
        The sample.
    prior
        Its genes must include the panel's.
    states
        C × K, cell states.
    config
        Masks and sizes.
    labels
        The network's vocabulary of organs, species and platforms.
    """

    def __init__(
        self,
        data: SampleData,
        prior: SpatialPrior,
        states: np.ndarray,
        config: TrainingConfig,
        labels: tuple[str, ...] = (),
    ) -> None:
        self.data, self.prior, self.states, self.config, self.labels = data, prior, states, config, labels
        self.measured = np.flatnonzero(data.exposure > 0)
        self.rows = prior.rows(data.names)
        self.tree = cKDTree(data.xy_um[self.measured])
        self.offsets = data.footprint_points()
        self.whole = len(self.measured) <= config.view_locations
        sample_baseline = data.baseline(prior)[self.rows]
        self.full = panel_statistics(prior.loadings[self.rows], sample_baseline, np.ones(len(self.rows), bool))
        self.sample_baseline = sample_baseline
        p, b = sample_baseline, residual_scale(sample_baseline)
        signal = ((prior.loadings[self.rows] * (p * b)[:, None]) ** 2).sum(axis=1)
        # Genes are drawn for the count loss by how much of them the factors explain, evenly mixed.
        self.gene_weight = np.sqrt(signal) / max(np.sqrt(signal).sum(), 1e-12) + 1 / len(signal)
        self.gene_weight /= self.gene_weight.sum()

    def _window(self, rng: np.random.Generator) -> np.ndarray:
        if self.whole:
            return self.measured
        centre = self.data.xy_um[rng.choice(self.measured)]
        _, nearest = self.tree.query(centre, k=self.config.view_locations)
        return self.measured[np.sort(nearest)]

    def draw(self, rng: np.random.Generator) -> TrainingView:
        """Draw a window, a mask, and split the counts into visible and hidden."""
        data, prior, config = self.data, self.prior, self.config
        window = self._window(rng)
        xy, counts = data.xy_um[window], data.counts[window]
        mask = draw_mask(config, xy, len(self.rows), data.raster is not None, rng)
        # A window has edges of its own; its neighbourhoods end there, as those of a section do.
        pooling = data.pooling if len(window) == len(data.xy_um) else build_pooling(xy, data.info.footprint.pitch_um)

        kept, _ = thin(counts, mask.share, rng)
        kept = (sparse.diags(mask.location_visible.astype(np.float32)) @ kept).tocsr()
        visible = (kept @ sparse.diags(mask.gene_visible.astype(np.float32))).tocsr()
        hidden = (counts - visible).tocsr()
        exposure_visible = np.asarray(visible.sum(axis=1)).ravel()
        encoder = panel_statistics(prior.loadings[self.rows], self.sample_baseline, mask.gene_visible)

        # The latent target rests on molecules that were not seen, over all genes of the panel.
        unseen_molecules = (counts - kept).tocsr()
        target, target_exposure = self.full(unseen_molecules, np.asarray(unseen_molecules.sum(axis=1)).ravel())

        points = xy[:, None] + self.offsets
        features = data.features(points.reshape(-1, 2)).reshape(len(xy), len(self.offsets), -1)
        view = make_view(
            visible,
            exposure_visible,
            encoder,
            pooling,
            features.mean(axis=1),
            self.states if mask.reference else self.states[:0],
            data.descriptors() * (1.0 if mask.platform else 0.0),
            label_codes(data.info, self.labels, mask.labels_dropped),
            use_image=mask.image and data.raster is not None,
        )
        genes, columns = self._genes(mask.gene_visible, rng)
        total = np.asarray(counts.sum(axis=1)).ravel()
        share_hidden = np.where(mask.location_visible[:, None] & mask.gene_visible[columns], 1 - mask.share, 1.0)
        return TrainingView(
            view=view,
            points=points,
            point_features=features,
            target_statistics=torch.from_numpy(target),
            target_exposure=torch.from_numpy(target_exposure),
            target_basis=torch.from_numpy(self.full.basis),
            target_precision=torch.from_numpy(self.full.precision),
            genes=genes,
            counts=torch.from_numpy(hidden.tocsc()[:, columns].toarray().astype(np.float32)),
            count_exposure=torch.from_numpy((total[:, None] * share_hidden).astype(np.float32)),
        )

    def _genes(self, gene_visible: np.ndarray, rng: np.random.Generator) -> tuple[GeneBatch, np.ndarray]:
        n = min(self.config.genes_per_view, len(self.rows))
        columns = np.sort(rng.choice(len(self.rows), n, replace=False, p=self.gene_weight))
        rows = self.rows[columns]
        unseen = ~gene_visible[columns]
        # A hidden gene is met half of the time as the reference knows it, as an unmeasured gene always is.
        by_reference = unseen & self.prior.in_reference[rows] & (rng.random(n) < 0.5)
        loadings = np.where(by_reference[:, None], self.prior.reference_loadings[rows], self.prior.loadings[rows])
        cohort = self.prior.baseline / self.prior.baseline[self.rows].sum()
        baseline = np.where(unseen, cohort[rows], self.sample_baseline[columns])
        return (
            GeneBatch(
                loadings=torch.from_numpy(loadings.astype(np.float32)),
                log_baseline=torch.from_numpy(np.log(baseline).astype(np.float32)),
                unseen=torch.from_numpy(unseen.astype(np.float32)),
            ),
            columns,
        )

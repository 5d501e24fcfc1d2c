"""Training examples: a window of a sample, a mask, and what the mask hides as the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.spatial import cKDTree
from torch import Tensor

from focus_cli.core.statistics.pseudospots import sum_by
from focus_cli.core.statistics.thinning import thin
from focus_cli.model.conditioning import SampleData, View, make_view
from focus_cli.model.conditioning.conditions import label_codes
from focus_cli.model.conditioning.sample import describe_platform, points_of
from focus_cli.model.priors import Pooling, SpatialPrior, build_pooling, panel_statistics
from focus_cli.model.priors.statistics import residual_scale
from focus_cli.model.training.config import TrainingConfig
from focus_cli.model.training.masks import SPOT, Mask, draw_mask, is_fine, lay_spots, window_size

# Of memory for each location, about: places, tree and where its counts lie; neighbourhoods, where windows are whole.
LOCATION_BYTES = 96
POOLING_BYTES = 320


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
    `target_exposure` is E of the hidden counts; `counts` is N × G dense over `genes`, each scored
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


@dataclass(frozen=True)
class _Hidden:
    """Locations that are predicted: image at their points, all their counts, those kept by thinning, those seen;
    whether any may be seen.
    """

    xy_um: np.ndarray
    features: np.ndarray
    counts: sparse.csr_matrix
    kept: sparse.csr_matrix
    visible: sparse.csr_matrix
    location_visible: np.ndarray


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
        sample_baseline = data.baseline(prior, self.rows)[self.rows]
        self.full = panel_statistics(prior.loadings[self.rows], sample_baseline, np.ones(len(self.rows), bool))
        self.sample_baseline = sample_baseline
        p, b = sample_baseline, residual_scale(sample_baseline)
        signal = ((prior.loadings[self.rows] * (p * b)[:, None]) ** 2).sum(axis=1)
        # Genes are drawn for the count loss by how much of them the factors explain, evenly mixed.
        self.gene_weight = np.sqrt(signal) / max(np.sqrt(signal).sum(), 1e-12) + 1 / len(signal)
        self.gene_weight /= self.gene_weight.sum()

    @property
    def nbytes(self) -> int:
        """Memory that the maker holds, about; a matrix of counts and an image in memory are not its own."""
        n = len(self.data.xy_um)
        whole = len(self.measured) <= self.config.view_locations
        arrays = (self.rows, self.sample_baseline, self.gene_weight, self.full.encoder)
        return sum(a.nbytes for a in arrays) + n * (LOCATION_BYTES + POOLING_BYTES * whole)

    def _window(self, rng: np.random.Generator, size: int) -> np.ndarray:
        if len(self.measured) <= size:
            return self.measured
        centre = self.data.xy_um[rng.choice(self.measured)]
        _, nearest = self.tree.query(centre, k=size)
        return self.measured[np.sort(nearest)]

    def draw(self, rng: np.random.Generator) -> TrainingView:
        """Draw a window, a mask, and split the counts into visible and hidden."""
        data, config = self.data, self.config
        # Only fine samples are asked, so that the others meet the same views with this mask or without.
        coarse = is_fine(data.info.footprint) and rng.random() < config.aggregate
        size = max(window_size(data.info.footprint), config.view_locations) if coarse else config.view_locations
        window = self._window(rng, size)
        xy, counts = data.xy_um[window], data.counts[window]
        mask = draw_mask(config, xy, len(self.rows), data.raster is not None, rng)
        location_visible = mask.location_visible
        if coarse:
            spot, centres = lay_spots(xy, rng)
            location_visible = location_visible & (spot >= 0)

        kept, _ = thin(counts, mask.share, rng)
        kept = (sparse.diags(location_visible.astype(np.float32)) @ kept).tocsr()
        visible = (kept @ sparse.diags(mask.gene_visible.astype(np.float32))).tocsr()
        if coarse:
            seen = sum_by(visible, spot, len(centres))
            pooling = build_pooling(centres, SPOT.pitch_um)
            features = data.features_within(centres, points_of(SPOT))
            view = self._view(seen, pooling, features, describe_platform(data.info.platform, SPOT), mask)
            asked = np.sort(rng.choice(len(xy), min(config.view_locations, len(xy)), replace=False))
            at_points = self._at_points(xy[asked])
            hidden = _Hidden(xy[asked], at_points, counts[asked], kept[asked], visible[asked], location_visible[asked])
        else:
            # A window has edges of its own; its neighbourhoods end there, as those of a section do.
            whole = len(window) == len(data.xy_um)
            pooling = data.pooling if whole else build_pooling(xy, data.info.footprint.pitch_um)
            # The image is read once: what a location shows is the mean of its points.
            at_points = self._at_points(xy)
            view = self._view(visible, pooling, at_points.mean(axis=1), data.descriptors(), mask)
            hidden = _Hidden(xy, at_points, counts, kept, visible, location_visible)
        return self._ask(view, hidden, mask, rng)

    def _at_points(self, xy_um: np.ndarray) -> np.ndarray:
        """Image features at the query points of locations, locations × points × F."""
        points = xy_um[:, None] + self.offsets
        return self.data.features(points.reshape(-1, 2)).reshape(*points.shape[:2], -1)

    def _view(
        self, visible: sparse.csr_matrix, pooling: Pooling, features: np.ndarray, descriptors: np.ndarray, mask: Mask
    ) -> View:
        """What the network may see; rows of `visible` and of `features` are the pooling's locations."""
        return make_view(
            visible,
            np.asarray(visible.sum(axis=1)).ravel(),
            panel_statistics(self.prior.loadings[self.rows], self.sample_baseline, mask.gene_visible),
            pooling,
            features,
            self.states if mask.reference else self.states[:0],
            descriptors * (1.0 if mask.platform else 0.0),
            label_codes(self.data.info, self.labels, mask.labels_dropped),
            use_image=mask.image and self.data.raster is not None,
        )

    def _ask(self, view: View, hidden: _Hidden, mask: Mask, rng: np.random.Generator) -> TrainingView:
        """The view with its questions: what is hidden of each location."""
        # The latent target rests on counts that were not seen, over all genes of the panel.
        unseen = (hidden.counts - hidden.kept).tocsr()
        target, target_exposure = self.full(unseen, np.asarray(unseen.sum(axis=1)).ravel())
        genes, columns = self._genes(mask.gene_visible, rng)
        total = np.asarray(hidden.counts.sum(axis=1)).ravel()
        shown = hidden.location_visible[:, None] & mask.gene_visible[columns]
        asked = (hidden.counts - hidden.visible).tocsc()[:, columns]
        return TrainingView(
            view=view,
            points=hidden.xy_um[:, None] + self.offsets,
            point_features=hidden.features,
            target_statistics=torch.from_numpy(target),
            target_exposure=torch.from_numpy(target_exposure),
            target_basis=torch.from_numpy(self.full.basis),
            target_precision=torch.from_numpy(self.full.precision),
            genes=genes,
            counts=torch.from_numpy(asked.toarray().astype(np.float32)),
            count_exposure=torch.from_numpy((total[:, None] * np.where(shown, 1 - mask.share, 1.0)).astype(np.float32)),
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

"""What the network may see of a sample: visible counts as pooled statistics, ready to be queried."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from focus_cli.models import Query
from focus_cli.priors import PanelStatistics, Pooling


@dataclass(frozen=True)
class View:
    """Nodes of every scale with their statistics; `query` turns points into the network's input."""

    pooling: Pooling
    statistics: list[Tensor]  # per scale: nodes × K, in the eigenbasis of the visible panel
    exposure: list[Tensor]  # per scale: nodes
    features: list[Tensor]  # per scale: nodes × F
    basis: Tensor
    precision: Tensor
    states: Tensor
    descriptors: Tensor
    use_image: bool

    def query(self, xy_um: np.ndarray, features: np.ndarray) -> Query:
        """Gather the neighbours of points.

        Parameters
        ----------
        xy_um
            Q × 2, µm.
        features
            Q × F, standardised image features at the points.
        """
        index, weight = self.pooling.neighbours(xy_um)
        index = torch.from_numpy(index)
        n = len(xy_um)
        return Query(
            features=torch.from_numpy(np.ascontiguousarray(features, np.float32)),
            has_image=torch.full((n,), float(self.use_image)),
            node_statistics=torch.stack([t[i] for t, i in zip(self.statistics, index)]),
            node_exposure=torch.stack([e[i] for e, i in zip(self.exposure, index)]),
            node_features=torch.stack([f[i] for f, i in zip(self.features, index)]),
            node_weight=torch.from_numpy(weight),
            basis=self.basis,
            precision=self.precision,
            states=self.states,
            descriptors=self.descriptors.expand(n, -1),
        )


def make_view(
    counts: sparse.csr_matrix,
    exposure: np.ndarray,
    encoder: PanelStatistics,
    pooling: Pooling,
    features: np.ndarray,
    states: np.ndarray,
    descriptors: np.ndarray,
    *,
    use_image: bool = True,
) -> View:
    """Summarise visible counts on the nodes of every scale.

    Parameters
    ----------
    counts
        CSR, locations × genes that `encoder` was made for; hidden molecules already taken out.
    exposure
        Visible molecules per location; 0 where the location is hidden.
    features
        Locations × F, standardised.
    states
        C × K, cell states on the factors (see `state_latents`).
    """
    t, e = encoder(counts, exposure)
    levels = pooling.levels
    size = [np.bincount(level.member, minlength=level.n_nodes)[:, None] for level in levels]
    return View(
        pooling=pooling,
        statistics=[torch.from_numpy(level.total(t)) for level in levels],
        exposure=[torch.from_numpy(level.total(e[:, None])[:, 0]) for level in levels],
        features=[torch.from_numpy(level.total(features) / n.astype(np.float32)) for level, n in zip(levels, size)],
        basis=torch.from_numpy(encoder.basis),
        precision=torch.from_numpy(encoder.precision),
        states=torch.from_numpy(np.ascontiguousarray(states, np.float32)),
        descriptors=torch.from_numpy(descriptors)[None],
        use_image=use_image and features.shape[1] > 0,
    )

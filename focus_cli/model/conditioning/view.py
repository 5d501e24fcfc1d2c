"""What the network may see of a sample: visible counts as pooled statistics, ready to be queried."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from focus_cli.model.network import Nodes, Query
from focus_cli.model.priors import PanelStatistics, Pooling


@dataclass(frozen=True)
class View:
    """Nodes of every scale with their statistics; `query` turns points into the network's input."""

    pooling: Pooling
    nodes: Nodes
    states: Tensor
    descriptors: Tensor
    labels: Tensor

    def query(self, xy_um: np.ndarray, features: np.ndarray) -> Query:
        """Find the neighbours of points.

        Parameters
        ----------
        xy_um
            Q × 2, µm.
        features
            Q × F, standardised image features at the points.
        """
        index, weight = self.pooling.neighbours(xy_um)
        return Query(
            features=torch.from_numpy(np.ascontiguousarray(features, np.float32)),
            node_index=torch.from_numpy(index),
            node_weight=torch.from_numpy(weight),
            nodes=self.nodes,
            states=self.states,
            descriptors=self.descriptors.expand(len(xy_um), -1),
            labels=self.labels.expand(len(xy_um), -1),
        )


def make_view(
    counts: sparse.csr_matrix,
    exposure: np.ndarray,
    encoder: PanelStatistics,
    pooling: Pooling,
    features: np.ndarray,
    states: np.ndarray,
    descriptors: np.ndarray,
    labels: np.ndarray,
    *,
    use_image: bool = True,
) -> View:
    """Summarise visible counts on the nodes of every scale.

    Parameters
    ----------
    counts
        CSR, locations × genes that `encoder` was made for; hidden counts already taken out.
    exposure
        Visible counts per location; 0 where the location is hidden.
    features
        Locations × F, standardised.
    states
        C × K, cell states on the factors (see `state_latents`).
    descriptors, labels
        D and V, of the sample.
    """
    t, e = encoder(counts, exposure)
    summed: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
    for level in pooling.levels:
        if id(level.member) in summed:
            continue
        size = np.bincount(level.member, minlength=level.n_nodes).astype(np.float32)
        summed[id(level.member)] = (
            torch.from_numpy(level.total(t)),
            torch.from_numpy(level.total(e[:, None])[:, 0]),
            torch.from_numpy(level.total(features) / size[:, None]),
        )
    statistics, exposures, averages = zip(*(summed[id(level.member)] for level in pooling.levels))
    nodes = Nodes(
        statistics=list(statistics),
        exposure=list(exposures),
        features=list(averages),
        basis=torch.from_numpy(encoder.basis),
        precision=torch.from_numpy(encoder.precision),
        has_image=use_image and features.shape[1] > 0,
    )
    return View(
        pooling=pooling,
        nodes=nodes,
        states=torch.from_numpy(np.ascontiguousarray(states, np.float32)),
        descriptors=torch.from_numpy(descriptors)[None],
        labels=torch.from_numpy(labels)[None],
    )

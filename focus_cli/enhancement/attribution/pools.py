"""What reaches a query of the network, its own counts apart from its neighbours'.

Statistics of counts add up over locations, so what a query pools is a sum of two terms: that of the location itself and
that of all others. Either can be left out, or taken in part, without evaluating anything else again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from focus_cli.core.device import to_device
from focus_cli.model.conditioning import SampleData, View
from focus_cli.model.network import FocusNet

OWN, OTHERS = 0, 1


@dataclass(frozen=True)
class Pools:
    """What reaches Q queries, which are the points of some locations' footprints.

    Shapes: W = 2 (own, others), S scales, K factors, F image features.

    Attributes
    ----------
    features
        Q × F, at the query.
    counted, expected
        W × S × Q × K: statistics of counts, and what the image leads to expect of them.
    exposure
        W × S × Q, counts.
    index, weight
        S × Q × M: nodes and their kernel weights; `itself` (bool) marks the node that holds the location.
    n_points
        Queries of one location.
    """

    features: Tensor
    counted: Tensor
    expected: Tensor
    exposure: Tensor
    index: Tensor
    weight: Tensor
    itself: Tensor
    n_points: int


class Surroundings:
    """A sample as a view shows it to the network, ready to be pooled around its locations."""

    def __init__(self, data: SampleData, view: View, net: FocusNet, area: np.ndarray) -> None:
        self.data, self.view, self.net, self.area = data, view, net, area
        self.device = next(net.parameters()).device
        self.nodes = to_device(view.nodes, self.device)

    @property
    def sees(self) -> bool:
        """Whether there is an image."""
        return self.nodes.has_image

    @cached_property
    def by_location(self) -> tuple[Tensor, Tensor]:
        """Statistics (N × K) and counts (N) of the locations themselves."""
        scale = self.view.pooling.of_locations[0]
        return self.nodes.statistics[scale], self.nodes.exposure[scale]

    @cached_property
    def expectation(self) -> list[Tensor]:
        """Per scale, nodes × K: statistics per unit of counts that the image leads to expect."""
        done: dict[int, Tensor] = {}
        with torch.no_grad():
            for features in self.nodes.features:
                if id(features) not in done:
                    if self.sees:
                        latent = self.net.image_latent(features) @ self.nodes.basis
                        done[id(features)] = self.nodes.precision * latent
                    else:
                        done[id(features)] = features.new_zeros(len(features), self.net.config.n_factors)
        return [done[id(features)] for features in self.nodes.features]

    def around(self, rows: np.ndarray) -> Pools:
        """Pool what lies around some locations."""
        points = (self.data.xy_um[rows][:, None] + self.area).reshape(-1, 2)
        features = torch.from_numpy(np.ascontiguousarray(self.data.features(points), np.float32)).to(self.device)
        near, kernel = self.view.pooling.neighbours(points)
        index, weight = torch.from_numpy(near).to(self.device), torch.from_numpy(kernel).to(self.device)
        centre = np.repeat(rows, len(self.area))
        own_t, own_e = (values[torch.from_numpy(centre).to(self.device)] for values in self.by_location)
        terms, selves = [], []
        for s, level in enumerate(self.view.pooling.levels):
            node = torch.from_numpy(level.member[centre]).to(self.device)
            itself = index[s] == node[:, None]
            exposure = self.nodes.exposure[s]
            statistic, expectation = self.nodes.statistics[s], exposure[:, None] * self.expectation[s]
            own_weight = (weight[s] * itself).sum(dim=1)
            own = (
                own_weight[:, None] * own_t,
                (own_weight * own_e)[:, None] * self.expectation[s][node],
                own_weight * own_e,
            )
            whole = (
                torch.einsum("qm,qmk->qk", weight[s], statistic[index[s]]),
                torch.einsum("qm,qmk->qk", weight[s], expectation[index[s]]),
                (weight[s] * exposure[index[s]]).sum(dim=1),
            )
            terms.append((own, tuple(w - o for w, o in zip(whole, own))))
            selves.append(itself)
        counted, expected, totals = (
            torch.stack([torch.stack([terms[s][who][which] for s in range(len(terms))]) for who in (OWN, OTHERS)])
            for which in range(3)
        )
        # What is left of a sum after its only term is taken away is zero, not the rounding of it.
        return Pools(
            features, counted, expected, totals.clamp(min=0), index, weight, torch.stack(selves), len(self.area)
        )

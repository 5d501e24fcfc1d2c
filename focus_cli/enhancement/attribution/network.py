"""The network as a function of what it is shown, each signal there, away, or in between.

With every signal there it is `FocusNet.posterior_mean`; a test checks this. An image that is half there has half of its
features, a cell state that is half there half of its weight in the attention, a location half of its counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from focus_cli.enhancement.attribution.pools import OTHERS, OWN, Pools
from focus_cli.enhancement.image_transfer import ImageTransfer
from focus_cli.model.conditioning import View
from focus_cli.model.network import EXPOSURE_UNIT, Condition, FocusNet, Nodes


@dataclass
class Inputs:
    """What Q queries are shown; all that differs between sets of signals.

    Attributes
    ----------
    features
        Q × F.
    seen
        Q × 1: 1 with an image, 0 without.
    residual, exposure
        S × Q × K and S × Q: statistics that the image leaves unexplained, and counts.
    states
        Q × C: how far each cell state of the reference is there.
    """

    features: Tensor
    seen: Tensor
    residual: Tensor
    exposure: Tensor
    states: Tensor


@dataclass
class Shown:
    """How far each signal is there, per query (Q × 1, float32)."""

    image: Tensor
    reference: Tensor
    own: Tensor
    neighbours: Tensor


def show(pools: Pools, shown: Shown, n_states: int) -> Inputs:
    """The inputs of a set of signals."""
    image, own, others = shown.image, shown.own, shown.neighbours
    left = pools.counted - image * pools.expected
    return Inputs(
        features=image * pools.features,
        seen=image,
        residual=own * left[OWN] + others * left[OTHERS],
        exposure=own[:, 0] * pools.exposure[OWN] + others[:, 0] * pools.exposure[OTHERS],
        states=shown.reference.expand(-1, n_states),
    )


class OpenedNet:
    """One network and what is the same for all queries of a view; on a slide without counts also `transfer`."""

    def __init__(self, net: FocusNet, nodes: Nodes, view: View, transfer: ImageTransfer | None = None) -> None:
        self.net, self.nodes, self.sees, self.transfer = net, nodes, nodes.has_image, transfer
        device = nodes.basis.device
        self.states = view.states.to(device)
        self.descriptors, self.labels = view.descriptors.to(device), view.labels.to(device)
        with torch.no_grad():
            self.blank = net.image_latent(nodes.basis.new_zeros(1, net.config.n_features))

    def latent(self, inputs: Inputs) -> Tensor:
        """Mean latent of every query, Q × K."""
        net, nodes = self.net, self.nodes
        image = 0.0
        if self.sees:
            image = net.image_latent(inputs.features) - self.blank + inputs.seen * self.blank
        precision = torch.exp(-net.log_field_variance) @ (nodes.basis**2)
        shrunk = inputs.residual / (inputs.exposure[..., None] * nodes.precision + precision[:, None])
        scales = shrunk @ nodes.basis.T
        log_exposure = torch.log1p(EXPOSURE_UNIT * inputs.exposure).T
        gate = net.scale_gate(log_exposure).view(-1, net.config.n_scales, net.config.n_factors)
        mean = image + (gate.softmax(dim=1).transpose(0, 1) * scales).sum(dim=0)
        seen = inputs.seen * float(self.sees)
        flat = scales.transpose(0, 1).flatten(1)
        h = net.join(torch.cat([inputs.features * float(self.sees), seen, flat, log_exposure, mean], dim=1))
        context = h + self._recall(h, inputs.states) + net.describe(self.descriptors) + self.labels @ net.label_vectors
        # The spread of the prior has no part in its mean; `posterior_mean` asks for nothing else.
        latent = net.posterior_mean(Condition(mean, mean, context, mean[:, :0]))
        if self.transfer is None:
            return latent
        foreign = net.foreign_image_map
        return self.transfer.mean(latent, image, foreign(inputs.features) - (1 - inputs.seen) * foreign.bias)

    def _recall(self, h: Tensor, there: Tensor) -> Tensor:
        """Attention over cell states, each weighing as far as it is there."""
        net = self.net
        keys = torch.cat([net.null_key[None], net.state_key(self.states)])
        values = torch.cat([net.null_value[None], net.state_value(self.states)])
        logits = net.query_key(h) @ keys.T / math.sqrt(net.memory_width)
        weight = torch.exp(logits - logits.max(dim=1, keepdim=True).values.detach())
        weight = torch.cat([weight[:, :1], weight[:, 1:] * there], dim=1)
        return (weight / weight.sum(dim=1, keepdim=True)) @ values

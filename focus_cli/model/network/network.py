"""The network: a Gaussian field as prior, three signals as conditions, a flow from one to the other.

Shapes: Q queries, S scales, M neighbours, K factors, F image features, C cell states, D descriptors,
V labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from focus_cli.model.network.config import ModelConfig
from focus_cli.model.network.image_maps import ImageMaps

N_DESCRIPTORS = 5
EXPOSURE_UNIT = 30.0  # log1p of exposure in units of a hundred counts


@dataclass
class Nodes:
    """What is visible around the queries, per scale: locations, or groups of them.

    `statistics` (nodes × K, eigenbasis of the panel), `exposure` (nodes) and `features` (nodes × F) have one
    tensor per scale. `basis` (K × K) and `precision` (K) are the panel's information; `has_image` states
    whether the image may be used.
    """

    statistics: list[Tensor]
    exposure: list[Tensor]
    features: list[Tensor]
    basis: Tensor
    precision: Tensor
    has_image: bool


@dataclass
class Query:
    """Everything that is known about a batch of query points.

    Attributes
    ----------
    features
        Q × F, standardised image features at the query; zeros without an image.
    node_index, node_weight
        S × Q × M: rows of the nearest nodes of each scale and their kernel weights.
    nodes
        What those rows point into.
    states
        C × K, cell states on the factors; C may be 0.
    descriptors
        Q × D, of the platform.
    labels
        Q × V, codes of organ, species and platform; zeros where they are not known.
    """

    features: Tensor
    node_index: Tensor
    node_weight: Tensor
    nodes: Nodes
    states: Tensor
    descriptors: Tensor
    labels: Tensor


@dataclass
class Condition:
    """What the network made of a query: the prior's mean and log variance (Q × K), and the context."""

    mean: Tensor
    log_variance: Tensor
    context: Tensor
    attention: Tensor  # Q × C, over cell states, without the null


def every(condition: Condition, n: int) -> Condition:
    """Every n-th row of a condition."""
    return Condition(*(getattr(condition, field.name)[::n] for field in fields(condition)))


class _Block(nn.Module):
    """Residual MLP with adaptive normalisation (Peebles & Xie 2023, arXiv:2212.09748)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 3 * width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, h: Tensor, signal: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(signal).chunk(3, dim=-1)
        return h + (1 + gate) * self.mlp(self.norm(h) * (1 + scale) + shift)


class FocusNet(nn.Module):
    """Condition on histology, reference and spatial prior at once; predict the latent state.

    Parameters
    ----------
    config
        Sizes; `n_features` and `n_factors` must be set.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, k, f, s = config.width, config.n_factors, config.n_features, config.n_scales
        # Morphology → latent: a linear map, which is what ridge regression would find, and its residual.
        self.image_linear = nn.Linear(f, k)
        self.image_mlp = nn.Sequential(nn.Linear(f, width), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(width, k))
        # Morphology → log of the counts that a measurement would hold; fitted in closed form, not trained.
        self.depth_map = nn.Linear(f, 1).requires_grad_(False)
        # The Gaussian field: how far each scale's neighbours bind, and how scales share.
        self.log_field_variance = nn.Parameter(torch.zeros(s, k))
        self.scale_gate = nn.Sequential(nn.Linear(s, 32), nn.GELU(), nn.Linear(32, s * k))
        self.spread = nn.Sequential(nn.Linear(s + 1, 32), nn.GELU(), nn.Linear(32, k))
        # Cell states of the reference as a memory that is replaced at inference.
        self.memory_width = max(16, width // 2)
        self.query_key = nn.Linear(width, self.memory_width)
        self.state_key = nn.Linear(k, self.memory_width)
        self.state_value = nn.Linear(k, width)
        self.null_key = nn.Parameter(torch.zeros(self.memory_width))
        self.null_value = nn.Parameter(torch.zeros(width))
        # The trunk.
        self.join = nn.Linear(f + 1 + s * k + s + k, width)
        self.latent_in = nn.Linear(k, width)
        self.describe = nn.Linear(N_DESCRIPTORS, width)
        self.label_vectors = nn.Parameter(torch.zeros(len(config.labels), width))
        self.time = nn.Sequential(nn.Linear(16, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(_Block(width, config.dropout) for _ in range(config.layers))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, k))
        # Genes: a correction of their vectors, their dispersion, their response to the platform.
        self.gene_vector = nn.Linear(k + 1, k, bias=False)
        self.gene_dispersion = nn.Linear(k + 1, 1)
        self.gene_platform = nn.Linear(k + 1, N_DESCRIPTORS, bias=False)
        # The maps of the image with a strong penalty, for tissue unlike training; the contrast of the training slides.
        # They draw no random numbers, so that the weights before them stay what a seed makes them.
        self.foreign_image_map = nn.utils.skip_init(nn.Linear, f, k).requires_grad_(False)
        self.foreign_depth_map = nn.utils.skip_init(nn.Linear, f, 1, bias=False).requires_grad_(False)
        self.contrast = nn.Parameter(torch.zeros(1), requires_grad=False)
        for layer in (self.image_mlp[-1], self.scale_gate[-1], self.spread[-1], self.out[-1]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        image_maps = (self.image_linear, self.depth_map, self.foreign_image_map, self.foreign_depth_map)
        for layer in (self.gene_vector, self.gene_dispersion, self.gene_platform, *image_maps):
            nn.init.zeros_(layer.weight)
        for layer in image_maps[:3]:
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.gene_dispersion.bias, math.log(10.0))

    def start_from(self, maps: ImageMaps) -> None:
        """Take over linear maps fitted in closed form."""
        with torch.no_grad():
            for layer, found in ((self.image_linear, maps.latent), (self.foreign_image_map, maps.foreign_latent)):
                layer.weight.copy_(torch.from_numpy(found.weight))
                layer.bias.copy_(torch.from_numpy(found.bias))
            self.depth_map.weight.copy_(torch.from_numpy(maps.depth)[None])
            self.depth_map.bias.fill_(maps.depth_level)
            self.foreign_depth_map.weight.copy_(torch.from_numpy(maps.foreign_depth)[None])
            self.contrast.fill_(maps.contrast)

    def image_latent(self, features: Tensor) -> Tensor:
        """The latent from the image alone: … × F → … × K."""
        return self.image_linear(features) + self.image_mlp(features)

    def residuals(self, nodes: Nodes) -> list[Tensor]:
        """What the image leaves unexplained at each node, per scale nodes × K (statistics, eigenbasis).

        Computed once per view: queries only gather from it.
        """
        done: dict[int, Tensor] = {}  # scales that share their nodes share the work
        for s, features in enumerate(nodes.features):
            if id(features) not in done:
                expected = 0.0
                if nodes.has_image:
                    latent = self.image_latent(features) @ nodes.basis
                    expected = nodes.exposure[s][:, None] * nodes.precision * latent
                done[id(features)] = nodes.statistics[s] - expected
        return [done[id(features)] for features in nodes.features]

    def field(self, query: Query, residuals: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Kriging of what the image leaves unexplained.

        Returns
        -------
        mean
            Q × K: image part plus the neighbours' residuals, shrunk by their information.
        scales
            S × Q × K: the residual of each scale alone.
        log_exposure
            Q × S: log of the counts within each scale's kernel.
        """
        nodes = query.nodes
        image = self.image_latent(query.features) if nodes.has_image else 0.0
        residual = torch.stack(
            [
                torch.einsum("qm,qmk->qk", weight, r[index])
                for r, index, weight in zip(residuals, query.node_index, query.node_weight)
            ]
        )
        pooled = torch.stack(
            [
                (weight * exposure[index]).sum(dim=1)
                for exposure, index, weight in zip(nodes.exposure, query.node_index, query.node_weight)
            ]
        )
        prior_precision = torch.exp(-self.log_field_variance) @ (nodes.basis**2)
        shrunk = residual / (pooled[..., None] * nodes.precision + prior_precision[:, None])
        scales = shrunk @ nodes.basis.T
        log_exposure = torch.log1p(EXPOSURE_UNIT * pooled).T
        gate = self.scale_gate(log_exposure).view(-1, self.config.n_scales, self.config.n_factors)
        mean = image + (gate.softmax(dim=1).transpose(0, 1) * scales).sum(dim=0)
        return mean, scales, log_exposure

    def condition(self, query: Query, residuals: list[Tensor] | None = None) -> Condition:
        """Join the three signals; `residuals` of the query's nodes are computed unless they are given."""
        if residuals is None:
            residuals = self.residuals(query.nodes)
        mean, scales, log_exposure = self.field(query, residuals)
        seen = torch.full_like(log_exposure[:, :1], float(query.nodes.has_image))
        flat = scales.transpose(0, 1).flatten(1)
        h = self.join(torch.cat([query.features * seen, seen, flat, log_exposure, mean], dim=1))
        attention, recalled = self._recall(h, query.states)
        log_variance = self.spread(torch.cat([log_exposure, seen], dim=1)).clamp(-6, 3)
        context = h + recalled + self.describe(query.descriptors) + query.labels @ self.label_vectors
        return Condition(mean, log_variance, context, attention)

    def _recall(self, h: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        keys = torch.cat([self.null_key[None], self.state_key(states)])
        values = torch.cat([self.null_value[None], self.state_value(states)])
        weight = (self.query_key(h) @ keys.T / math.sqrt(self.memory_width)).softmax(dim=-1)
        return weight[:, 1:], weight @ values

    def predict(self, z: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Predict the latent z₁ (Q × K) from a point of the path `z` (Q × K) at time `t` (Q)."""
        frequency = 2.0 ** torch.arange(8, dtype=z.dtype, device=z.device) * math.pi / 4
        angle = t[:, None] * frequency
        signal = self.time(torch.cat([angle.sin(), angle.cos()], dim=1)) + condition.context
        offset = z - condition.mean
        h = self.latent_in(offset) + condition.context
        for block in self.blocks:
            h = block(h, signal)
        # At the end of the path the point is the estimate; at its start the prior's mean is.
        return condition.mean + t[:, None] * offset + self.out(h)

    def posterior_mean(self, condition: Condition) -> Tensor:
        """The mean latent, Q × K: the prediction at t = 0 from the prior's mean."""
        t = torch.zeros(len(condition.mean), dtype=condition.mean.dtype, device=condition.mean.device)
        return self.predict(condition.mean, t, condition)

    def gene_parameters(self, loadings: Tensor, log_baseline: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Corrected vectors, log inverse dispersions and platform responses of genes.

        Parameters
        ----------
        loadings
            G × K, from the prior.
        log_baseline
            G, log of the expected proportion.

        Returns
        -------
        loadings G × K, log_theta G, platform G × D.
        """
        norm = loadings.norm(dim=1, keepdim=True).clamp(min=1e-6)
        identity = torch.cat([loadings / norm, (log_baseline[:, None] + 9) / 3], dim=1)
        corrected = loadings + norm * self.gene_vector(identity)
        log_theta = self.gene_dispersion(identity)[:, 0].clamp(-3, 8)
        return corrected, log_theta, self.gene_platform(identity)

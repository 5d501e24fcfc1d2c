"""The loss: the prior's likelihood, the counts' likelihood, flow matching; all on hidden counts."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from focus_cli.core.device import to_device
from focus_cli.model.network import FocusNet
from focus_cli.model.network.flow import interpolate
from focus_cli.model.network.likelihood import negative_binomial_nll, share_link
from focus_cli.model.network.network import Condition
from focus_cli.model.training.config import TrainingConfig
from focus_cli.model.training.views import TrainingView

MIN_EXPOSURE = 1e-4


@dataclass(frozen=True)
class Losses:
    """The three terms, scalars, each of order one, and their weighted sum."""

    prior: Tensor
    counts: Tensor
    flow: Tensor
    total: Tensor


def _layers(device: torch.device, precision: str) -> torch.autocast:
    """Context of the network's layers; the likelihoods stay outside, in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def _in_float32(condition: Condition) -> Condition:
    return Condition(*(getattr(condition, field.name).float() for field in fields(condition)))


def compute_losses(
    net: FocusNet, view: TrainingView, batch: np.ndarray, config: TrainingConfig, generator: torch.Generator
) -> Losses:
    """Losses of a batch of locations.

    A location is the mean of the query points in its footprint, for the latent as for the shares: a spot's
    estimate is the sum over its area by construction.

    Parameters
    ----------
    batch
        Rows of the view's locations, B.
    generator
        Of the source's noise and of the times; on the CPU, so that devices draw alike.
    """
    n_points = view.points.shape[1]
    device = next(net.parameters()).device
    query = view.view.query(
        view.points[batch].reshape(-1, 2), view.point_features[batch].reshape(len(batch) * n_points, -1)
    )
    query, genes = to_device(query, device), to_device(view.genes, device)
    layers = _layers(device, config.precision)
    with layers:
        condition = _in_float32(net.condition(query))

    def footprint(values: Tensor) -> Tensor:
        return values.view(len(batch), n_points, *values.shape[1:]).mean(dim=1)

    rows = torch.from_numpy(batch)
    exposure = view.target_exposure[rows].to(device).clamp(min=MIN_EXPOSURE)[:, None]
    information = exposure * view.target_precision.to(device)
    statistics = view.target_statistics[rows].to(device)
    target_basis = view.target_basis.to(device)

    # Marginal likelihood of the hidden statistics under the field: N(t; I·m, I + I σ² I), I = E·D.
    mean = footprint(condition.mean) @ target_basis
    variance = footprint(condition.log_variance).exp() @ (target_basis**2)
    spread = 1 + information * variance
    residual = statistics - information * mean
    prior_loss = 0.5 * (residual**2 / (information.clamp(min=1e-6) * spread) + torch.log(spread)).mean()

    # Counts at the posterior mean.
    with layers:
        latent = net.posterior_mean(condition).float()
        parameters = net.gene_parameters(genes.loadings, genes.log_baseline)
    loadings, log_theta, platform = (values.float() for values in parameters)
    share = footprint(share_link(latent @ loadings.T))
    response = (view.view.descriptors.to(device) @ platform.T) * genes.unseen
    count_exposure = view.count_exposure[rows].to(device)
    expected = count_exposure * share * torch.exp(genes.log_baseline + response)
    expected = expected.clamp(min=1e-6)
    counts = view.counts[rows].to(device)
    flat = count_exposure * torch.exp(genes.log_baseline)
    nll = negative_binomial_nll(counts, expected, log_theta)
    null = negative_binomial_nll(counts, flat.clamp(min=1e-6), log_theta.detach())
    # Per count, as a gain over the gene mean, in units that make it of order one.
    count_loss = 10 * (nll - null.detach()).sum() / counts.sum().clamp(min=1.0)

    # Flow: from a draw of the field to a draw of the posterior given the hidden counts.
    with torch.no_grad():
        sigma2 = condition.log_variance.exp() @ (target_basis**2)
        repeated = information.repeat_interleave(n_points, dim=0)
        posterior_variance = sigma2 / (1 + repeated * sigma2)
        shift = posterior_variance * residual.repeat_interleave(n_points, dim=0)
        noise = torch.randn(shift.shape, generator=generator).to(device)
        target = condition.mean + (shift + posterior_variance.sqrt() * noise) @ target_basis.T
        noise = torch.randn(shift.shape, generator=generator).to(device)
        source = condition.mean + condition.log_variance.exp().sqrt() * noise
        t = torch.rand(len(source), generator=generator).to(device)
        point = interpolate(source, target, t)
        scale = condition.log_variance.exp()
    with layers:
        predicted = net.predict(point, t, condition).float()
    flow_loss = 0.5 * ((predicted - target) ** 2 / scale).mean()

    total = config.weight_prior * prior_loss + config.weight_counts * count_loss + config.weight_flow * flow_loss
    return Losses(prior_loss, count_loss, flow_loss, total)

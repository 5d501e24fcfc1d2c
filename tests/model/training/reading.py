"""How the tests of this room look at logs and weights."""

from __future__ import annotations

import csv
import io

import numpy as np
import torch
from model.training.tiny_cohort import TINY_TRAINING

from focus_cli.model.training.checkpoint import model_tensors
from focus_cli.model.training.objective import compute_losses
from focus_cli.model.training.views import ViewMaker


def rows(log: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(log)))


def weights(model) -> dict[str, bytes]:
    found = {name: tensor.numpy().tobytes() for name, tensor in model_tensors(model.net).items()}
    return found | {"prior": model.prior.loadings.tobytes() + model.prior.baseline.tobytes()}


def loss_on_fixed_views(data, trained) -> float:
    """Mean loss over the same views and noise, whatever the model."""
    states = np.zeros((0, trained.prior.n_factors), np.float32)
    maker = ViewMaker(data, trained.prior, states, TINY_TRAINING, trained.net.config.labels)
    losses = []
    for seed in range(12):
        view = maker.draw(np.random.default_rng([99, seed]))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            rows = np.arange(view.n_locations)
            losses.append(float(compute_losses(trained.net, view, rows, TINY_TRAINING, generator).total))
    return float(np.mean(losses))

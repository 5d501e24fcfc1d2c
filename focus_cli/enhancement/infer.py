"""Latents of query points: posterior mean, spread and samples, streamed in chunks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from focus_cli.conditioning import SampleData, View
from focus_cli.models import FocusNet
from focus_cli.models.flow import DEFAULT_STEPS, integrate
from focus_cli.progress import task

CHUNK = 4096


@dataclass(frozen=True)
class Latents:
    """Per query: mean and sd (float32, Q × K), attention over cell states (Q × C), samples or None.

    `prior_sd` is the spread of the spatial prior, the source of the flow.
    """

    mean: np.ndarray
    sd: np.ndarray
    prior_sd: np.ndarray
    attention: np.ndarray
    samples: np.ndarray | None


def infer_latents(
    net: FocusNet,
    view: View,
    data: SampleData,
    xy_um: np.ndarray,
    *,
    n_samples: int,
    keep_samples: bool = False,
    seed: int = 0,
    label: str = "inferring",
) -> Latents:
    """Run the network on points of the tissue.

    A location that is larger than a cell is the mean over the points of its footprint. The noise of a
    point depends on the seed and its row alone, so chunking changes nothing.

    Parameters
    ----------
    xy_um
        Q × 2, µm.
    n_samples
        Draws of the flow behind the spread, at least 2.
    keep_samples
        Return the draws (samples × Q × K).
    """
    k, q = net.config.n_factors, len(xy_um)
    mean, sd, prior_sd = (np.zeros((q, k), np.float32) for _ in range(3))
    attention = np.zeros((q, len(view.states)), np.float32)
    samples = np.zeros((n_samples, q, k), np.float32) if keep_samples else None
    with task(label, q) as progress, torch.no_grad():
        residuals = net.residuals(view.nodes)
        for start in range(0, q, CHUNK):
            rows = slice(start, min(start + CHUNK, q))
            points = xy_um[rows]
            features = data.features(points)
            condition = net.condition(view.query(points, features), residuals)
            centre = net.posterior_mean(condition)
            rng = np.random.default_rng([seed, 3, start])
            spread = condition.log_variance.exp().sqrt()
            total, square = torch.zeros_like(centre), torch.zeros_like(centre)
            for draw in range(n_samples):
                noise = torch.from_numpy(rng.standard_normal(centre.shape, dtype=np.float32))
                source = condition.mean + spread * noise
                z = integrate(lambda z, t, c=condition: net.predict(z, t, c), source, DEFAULT_STEPS)
                total += z
                square += (z - centre) ** 2
                if samples is not None:
                    samples[draw, rows] = z.numpy()
            mean[rows] = centre.numpy()
            sd[rows] = (square / n_samples).sqrt().numpy() if n_samples else spread.numpy()
            prior_sd[rows] = spread.numpy()
            attention[rows] = condition.attention.numpy()
            progress.advance(rows.stop - rows.start)
    return Latents(mean, sd, prior_sd, attention, samples)

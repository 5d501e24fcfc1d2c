"""Latents of query points: posterior mean, spread and samples, streamed in chunks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from focus_cli.core.device import to_device
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import task
from focus_cli.core.random import stream
from focus_cli.model.conditioning import SampleData, View
from focus_cli.model.network import DEFAULT_STEPS, FocusNet, every, integrate

CHUNK = 8192  # points of a forward pass
NOISE_BLOCK = 256
SPREAD_DRAWS = 4


@dataclass(frozen=True)
class Latents:
    """Per query: mean and sd (float32, Q × K), attention over cell states (Q × C), samples or None.

    The last `n_sample_factors` of the K columns are scores of sample-specific factors, which no other sample shares.
    `image_maps` (2 × Q × K, or None) are those of the two maps of the image alone, for familiar and for foreign tissue.
    """

    mean: np.ndarray
    sd: np.ndarray
    attention: np.ndarray
    samples: np.ndarray | None
    n_sample_factors: int = 0
    image_maps: np.ndarray | None = None


def require_finite(what: str, *values: np.ndarray | torch.Tensor) -> None:
    """Refuse what a model with damaged weights computes.

    Raises
    ------
    BadInputError
        If a value is NaN or infinite, or all of them are too large to be added up.
    """
    if not all(np.isfinite(float(part.sum())) for part in values):
        raise BadInputError(
            f"the model computes {what} that are not finite", hint="its weights are damaged: copy it again, or train it"
        )


def _noise(seed: int, draw: int, rows: slice, k: int) -> torch.Tensor:
    """Standard normal noise of some rows, rows × K; made in blocks that no chunking moves."""
    blocks = []
    for block in range(rows.start // NOISE_BLOCK, -(-rows.stop // NOISE_BLOCK)):
        rng = stream(seed, "enhance/draws", draw, block)
        blocks.append(rng.standard_normal((NOISE_BLOCK, k), dtype=np.float32))
    first = rows.start % NOISE_BLOCK
    return torch.from_numpy(np.concatenate(blocks)[first : first + rows.stop - rows.start])


def infer_latents(
    net: FocusNet,
    view: View,
    data: SampleData,
    xy_um: np.ndarray,
    *,
    n_spread: int = SPREAD_DRAWS,
    n_samples: int = 0,
    footprint: np.ndarray | None = None,
    image_maps: bool = False,
    seed: int = 0,
    label: str = "inferring",
) -> Latents:
    """Run the network on points of the tissue.

    A location is the mean over the points of its footprint, as in training. The noise of a query depends on
    the seed and its row alone, so chunking changes nothing.

    Parameters
    ----------
    xy_um
        Q × 2, µm.
    footprint
        Offsets (points × 2, µm) that sample a location's area; None for points.
    n_spread
        Draws of the flow behind the spread; with 0 it is that of the flow's source.
    n_samples
        Draws to return (samples × Q × K), the first of which are those behind the spread.
    image_maps
        Return the latents of the two maps of the image alone as well.

    Raises
    ------
    BadInputError
        If the network computes values that are not finite.
    """
    k, q = net.config.n_factors, len(xy_um)
    device = next(net.parameters()).device
    offsets = np.zeros((1, 2)) if footprint is None else footprint
    chunk = max(1, CHUNK // (len(offsets) * NOISE_BLOCK)) * NOISE_BLOCK
    mean, sd = (np.zeros((q, k), np.float32) for _ in range(2))
    attention = np.zeros((q, len(view.states)), np.float32)
    samples = np.zeros((n_samples, q, k), np.float32) if n_samples else None
    maps = np.zeros((2, q, k), np.float32) if image_maps else None
    with task(label, q) as progress, torch.no_grad():
        residuals = net.residuals(to_device(view.nodes, device))
        for start in range(0, q, chunk):
            rows = slice(start, min(start + chunk, q))
            points = (xy_um[rows, None] + offsets).reshape(-1, 2)
            query = to_device(view.query(points, data.features(points)), device)
            condition = net.condition(query, residuals)

            def area(values: torch.Tensor, n: int = rows.stop - rows.start) -> torch.Tensor:
                return values.view(n, len(offsets), -1).mean(dim=1).cpu()

            points_mean = net.posterior_mean(condition)
            mean[rows] = area(points_mean).numpy()
            if maps is not None:
                for found, image_map in zip(maps, (net.image_latent, net.foreign_image_map)):
                    found[rows] = area(image_map(query.features)).numpy()
            spread = condition.log_variance.exp().sqrt()
            # One draw for a whole footprint, at its centre: its points are no independent witnesses.
            centre = every(condition, len(offsets))
            square = torch.zeros_like(centre.mean)
            for draw in range(max(n_spread, n_samples)):
                source = centre.mean + spread[:: len(offsets)] * _noise(seed, draw, rows, k).to(device)
                z = integrate(lambda z, t, c=centre: net.predict(z, t, c), source, DEFAULT_STEPS)
                deviation = z - points_mean[:: len(offsets)]
                if draw < n_spread:
                    square += deviation**2
                if draw < n_samples:
                    samples[draw, rows] = mean[rows] + deviation.cpu().numpy()
            sd[rows] = (square / n_spread).sqrt().cpu().numpy() if n_spread else area(spread).numpy()
            attention[rows] = area(condition.attention).numpy() if attention.shape[1] else 0.0
            progress.advance(rows.stop - rows.start)
    require_finite("latents", mean, sd, attention, *([] if samples is None else [samples]))
    return Latents(mean, sd, attention, samples, image_maps=maps)

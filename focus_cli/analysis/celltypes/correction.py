"""Correction of the mixtures by a small network, trained on calibration sections whose truth is known.

Its input describes the mixtures at a location and around it, its output the expected share of each type,
bounds of a 90 % interval (pinball loss; Koenker & Bassett 1978) and the chance that a type is the largest. The bounds
are then widened until they hold on sections that the network did not see (conformalised quantile regression; Romano,
Patterson & Candès 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LOW, HIGH = 0.05, 0.95
_WIDTH = 96
_BATCH = 256
_RATE = 2e-3
_DECAY = 1e-2
_TRACE = 0.01  # added to shares before their logarithm
_ROWS = 65_536


@dataclass(frozen=True)
class TypeEstimate:
    """Shares of types at locations: mean, bounds, and the chance of being the largest; float64 (n, K) each."""

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    largest: np.ndarray


def learn(features: np.ndarray, truth: np.ndarray, seed: int, steps: int, advance: Callable[[float], None]) -> Callable:
    """Fit the network.

    Parameters
    ----------
    features
        float (n, F); the first 2 K columns are the square roots of two estimates of the shares.
    truth
        Share of each type, float (n, K), rows sum to 1.
    steps
        Batches of 256 to learn from.
    advance
        Called with 1 after every step.

    Returns
    -------
    Function from features to `TypeEstimate`.
    """
    import torch
    from torch import nn
    from torch.nn.functional import log_softmax

    from focus_cli.core.optimisers import AdamW

    centre, scale = features.mean(axis=0), features.std(axis=0) + 0.02
    n_types = truth.shape[1]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Linear(features.shape[1], _WIDTH), nn.GELU(), nn.Linear(_WIDTH, _WIDTH), nn.GELU(),
            nn.Linear(_WIDTH, 4 * n_types),
        )  # fmt: skip
        # It starts as the mean of both mixtures and learns where that errs.
        nn.init.zeros_(net[-1].weight)
        nn.init.zeros_(net[-1].bias)

    def read(features: np.ndarray):
        mixed = (features[:, :n_types] ** 2 + features[:, n_types : 2 * n_types] ** 2) / 2
        start = torch.tensor(np.log(mixed + _TRACE), dtype=torch.float32)
        return torch.tensor((features - centre) / scale, dtype=torch.float32), start

    def say(x, start):
        logits, low, high, largest = net(x).split(n_types, dim=1)
        log_share = log_softmax(start + logits, dim=1)
        return log_share, low, high, log_softmax(2 * start + largest, dim=1)

    x, start = read(features)
    t = torch.tensor(truth, dtype=torch.float32)
    top = t.argmax(dim=1)
    optimiser = AdamW(net.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (_BATCH,), generator=generator)
        log_share, low, high, largest = say(x[rows], start[rows])
        lower, upper = _bounds(log_share.exp().detach(), low, high)
        seen = t[rows]
        loss = -(seen * log_share).sum(dim=1).mean() + _pinball(seen - lower, LOW) + _pinball(seen - upper, HIGH)
        loss = loss + nn.functional.nll_loss(largest, top[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        advance(1)
    net.eval()

    def estimate(features: np.ndarray) -> TypeEstimate:
        parts: list[list[np.ndarray]] = []
        for first in range(0, len(features), _ROWS):
            with torch.no_grad():
                log_share, low, high, largest = say(*read(features[first : first + _ROWS]))
                share = log_share.exp()
                out = (share, *_bounds(share, low, high), largest.exp())
            parts.append([part.numpy().astype(np.float64) for part in out])
        return TypeEstimate(*(np.concatenate(part) for part in zip(*parts)))

    return estimate


def _bounds(share, low, high):
    """Bounds on either side of the share: a part of it, and a part of what is left of the whole."""
    return share * low.sigmoid(), share + (1 - share) * (high - 2).sigmoid()


def _pinball(error, quantile: float):
    return (quantile * error.clamp(min=0) + (1 - quantile) * (-error).clamp(min=0)).sum(dim=1).mean()


def slack(estimate: TypeEstimate, truth: np.ndarray) -> np.ndarray:
    """How far the bounds of each type must be moved so that 90 % of `truth` lie within, float64 (K,), not negative."""
    outside = np.maximum(estimate.low - truth, truth - estimate.high)
    n = len(truth)
    return np.maximum(np.quantile(outside, min(1.0, (HIGH - LOW) * (n + 1) / n), axis=0), 0.0)


def widened(estimate: TypeEstimate, by: np.ndarray) -> TypeEstimate:
    """The same with bounds moved by `by`, within 0 and 1 and on their side of the share."""
    low = np.clip(np.minimum(estimate.low - by, estimate.share), 0.0, 1.0)
    high = np.clip(np.maximum(estimate.high + by, estimate.share), 0.0, 1.0)
    return TypeEstimate(estimate.share, low, high, estimate.largest)


def set_threshold(estimate: TypeEstimate, truth: np.ndarray) -> float:
    """The least probability at which a type must be named so that the right one is among those named in 90 %."""
    own = estimate.share[np.arange(len(truth)), truth.argmax(axis=1)]
    n = len(own)
    return float(np.quantile(own, max(0.0, 1 - (HIGH - LOW) * (n + 1) / n)))


def named_sets(estimate: TypeEstimate, threshold: float) -> TypeEstimate:
    """For locations that are one cell: bounds that state which types it may be.

    A type that is named has an upper bound of 1, any other one of 0; one that is named alone has a lower bound of 1.
    """
    named = estimate.share >= threshold
    named[np.arange(len(named)), estimate.share.argmax(axis=1)] = True
    alone = named & (named.sum(axis=1, keepdims=True) == 1)
    return TypeEstimate(estimate.share, alone.astype(np.float64), named.astype(np.float64), estimate.share)

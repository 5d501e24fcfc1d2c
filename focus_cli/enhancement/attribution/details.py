"""Which part of a signal an estimate rests on: neighbours one by one, cell states, genes, image features.

A signal's share is the average of what it adds to the sets of other signals. Each of these additions is followed on
the straight way from the signal being away to its being there, and what happens on the way is booked to the part whose
change brought it about (integrated gradients; Sundararajan, Taly & Yan 2017, arXiv:1703.01365; the values of Aumann and
Shapley 1974). So parts sum to their signal's share, up to the error of a sum in place of an integral; it is measured,
stated, and spread over the parts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from focus_cli.enhancement.attribution.estimate import (
    EXPERT_SIGNALS,
    Estimate,
    Tail,
    Terms,
    corner_weights,
    expert_weights,
)
from focus_cli.enhancement.attribution.game import SIGNALS, joining
from focus_cli.enhancement.attribution.network import Inputs, Shown, show
from focus_cli.enhancement.attribution.pools import OTHERS, OWN, Pools
from focus_cli.enhancement.sample_factors import panel_share
from focus_cli.experts import Points

STEPS = 48  # Gauss–Legendre nodes of a way, to begin with
MOST_STEPS = 400
ERROR = 1e-3  # log2, above which a way is walked again with twice as many
CUBED = 3  # they lie denser near its start, where the first counts matter most

AN_IMAGE = "that there is an image"
EXPECTED = "what it leads to expect of the counts"
DEPTH = "total counts"
EXPERTS = "simple methods beside the network"


@dataclass(frozen=True)
class Parts:
    """Parts of one gene's value at one location.

    `named` maps a signal to names and contributions, log2; `by_location` (N) is each neighbour's. `error` is what the
    sum over the way missed, largest over the signals, before it was spread.
    """

    named: dict[str, dict[str, float]]
    by_location: np.ndarray
    error: float


@dataclass(frozen=True)
class _Way:
    """Many copies of one location, each at its place on the way of a signal that joins a set of others.

    `shown` (copies × 1) is how far each signal is there, `weight` (copies) what a slope there counts.
    """

    shown: Shown
    weight: Tensor


def _way(signal: str, steps: int) -> _Way:
    node, height = np.polynomial.legendre.leggauss(steps)
    u = (node + 1) / 2
    at, step = u**CUBED, height / 2 * CUBED * u ** (CUBED - 1)
    rows, weights = [], []
    for coalition, share in joining(signal):
        present = np.repeat([[float(getattr(coalition, name)) for name in SIGNALS]], steps, axis=0)
        present[:, SIGNALS.index(signal)] = at
        rows.append(present)
        weights.append(share * step)
    table = torch.from_numpy(np.concatenate(rows).astype(np.float32))
    shown = {name: table[:, bit : bit + 1] for bit, name in enumerate(SIGNALS)}
    return _Way(Shown(**shown), torch.from_numpy(np.concatenate(weights).astype(np.float32)))


def _leaves(value):
    """The same tensors, detached from their inputs, with gradients required."""
    found = {f.name: getattr(value, f.name).detach().requires_grad_(True) for f in fields(value)}
    return type(value)(**found)


class Within:
    """Decomposes the values of an `Estimate` at one location."""

    def __init__(self, estimate: Estimate, row: int) -> None:
        self.estimate, self.row = estimate, row
        at = np.array([row])
        self.pools: Pools = estimate.surroundings.around(at)
        self.terms: Terms = estimate.terms(at)

    def parts(self, gene: int, share: dict[str, float]) -> Parts:
        """Parts of one gene's value; `share` are the signals' Shapley values, which the parts of each sum to."""
        named: dict[str, dict[str, float]] = {}
        by_location = np.zeros(len(self.estimate.data.xy_um))
        error = 0.0
        for signal in SIGNALS:
            names, values, missed = self._walk(signal, gene, share[signal])
            values = _spread(values, missed)
            if signal == "neighbours":
                by_location = values
            else:
                named[signal] = dict(zip(names, values.tolist()))
            error = max(error, abs(missed))
        return Parts(named, by_location, error)

    def _walk(self, signal: str, gene: int, share: float) -> tuple[list[str], np.ndarray, float]:
        """Names and contributions of a signal's parts, and what they miss of its share."""
        steps = STEPS
        while True:
            found = getattr(self, f"_{signal}")(self._slopes(signal, gene, steps), gene)
            names = [] if signal == "neighbours" else list(found)
            values = found if signal == "neighbours" else np.array(list(found.values()))
            missed = share - float(values.sum())
            if abs(missed) < ERROR or 2 * steps > MOST_STEPS:
                return names, values, missed
            steps *= 2

    def _slopes(self, signal: str, gene: int, steps: int) -> tuple[_Way, Inputs, Tail]:
        """Slopes of the value by all that is shown, weighted, per copy."""
        estimate, pools = self.estimate, self.pools
        way, device = _way(signal, steps), pools.features.device
        copies, n_points = len(way.weight), pools.n_points
        many = Pools(
            features=pools.features.repeat(copies, 1),
            counted=pools.counted.repeat(1, 1, copies, 1),
            expected=pools.expected.repeat(1, 1, copies, 1),
            exposure=pools.exposure.repeat(1, 1, copies),
            index=pools.index,
            weight=pools.weight,
            itself=pools.itself,
            n_points=n_points,
        )
        of_points = Shown(
            **{name: getattr(way.shown, name).repeat_interleave(n_points, dim=0).to(device) for name in SIGNALS}
        )
        inputs = _leaves(show(many, of_points, estimate.n_states))
        tail = _repeated(self.terms, copies).tail(way.shown)
        tail.vector = tail.vector.repeat(1, estimate.decoder.loadings.shape[1])
        tail = _leaves(tail)
        value = (estimate.value(inputs, n_points, tail)[:, gene] * way.weight).sum()
        shown = [getattr(group, f.name) for group in (inputs, tail) for f in fields(group)]
        slopes = [
            torch.zeros_like(leaf) if slope is None else slope.cpu()
            for leaf, slope in zip(shown, torch.autograd.grad(value, shown, allow_unused=True))
        ]
        n = len(fields(Inputs))
        return way, Inputs(*slopes[:n]), Tail(*slopes[n:])

    def _through_corners(self, way: _Way, tail, signal: str) -> float:
        """What a signal does by changing what the network expects of the counts around."""
        shown, terms = way.shown, self.terms
        ones, zeros = torch.ones_like(way.weight)[:, None], torch.zeros_like(way.weight)[:, None]
        there = {"image": shown.image, "reference": shown.reference}
        change = corner_weights(**(there | {signal: ones})) - corner_weights(**(there | {signal: zeros}))
        total = 0.0
        for who, presence in ((OWN, shown.own), (OTHERS, shown.neighbours)):
            for slope, values in ((tail.statistic, terms.statistic[who]), (tail.expected, terms.expected[who])):
                moved = torch.einsum("bc,cx->bx", change, values[:, 0])
                total += float((slope * presence * moved).sum())
        return total

    def _image(self, slopes, gene: int) -> dict[str, float]:
        way, inputs, tail = slopes
        estimate, pools, n_points = self.estimate, self.pools, self.pools.n_points
        if not estimate.has_image:
            return {AN_IMAGE: 0.0}
        features = inputs.features.view(-1, n_points, inputs.features.shape[1]).sum(dim=0)
        own, others = (
            getattr(way.shown, name).repeat_interleave(n_points, dim=0)[:, 0] for name in ("own", "neighbours")
        )
        copies = len(way.weight)
        expected = [pools.expected[who].cpu().repeat(1, copies, 1) for who in (OWN, OTHERS)]
        among = -float((inputs.residual * (own[:, None] * expected[OWN] + others[:, None] * expected[OTHERS])).sum())
        found = {
            AN_IMAGE: float(inputs.seen.sum()),
            EXPERTS: self._through_experts(way, tail, "image"),
            EXPECTED: among + self._through_corners(way, tail, "image"),
        }
        by_feature = (features * pools.features.cpu()).sum(dim=0).numpy()
        return found | self._by_raw_feature(by_feature)

    def _by_raw_feature(self, by_feature: np.ndarray) -> dict[str, float]:
        """Contributions of the image features by their own names; of a wide encoder, of all its features together."""
        data = self.estimate.data
        names = list(data.image_names)
        if data.axes is None:
            return {name: float(value) for name, value in zip(names, by_feature)}
        found: dict[str, float] = {}
        # Each axis stands in the features that make it, as their squared loadings share it.
        loads = data.axes.astype(np.float64) ** 2
        loads /= np.maximum(loads.sum(axis=0), 1e-30)
        for name, value in zip(names, loads @ by_feature):
            group = name.rsplit("/", 1)[0] if "/" in name else name
            found[group] = found.get(group, 0.0) + float(value)
        return found

    def _reference(self, slopes, gene: int) -> dict[str, float]:
        way, inputs, tail = slopes
        vector = tail.vector.sum(dim=0).numpy().astype(np.float64)
        found = self.estimate.cells.split(gene, vector) | {EXPECTED: self._through_corners(way, tail, "reference")}
        states = self.estimate.run.reference
        names = [] if states is None else states.prototypes.obs_names.astype(str)
        return found | {f"cell state {name}": float(v) for name, v in zip(names, inputs.states.sum(dim=0))}

    def _own(self, slopes, gene: int) -> dict[str, float]:
        way, inputs, tail = slopes
        estimate, pools, run = self.estimate, self.pools, self.estimate.run
        data, n_points, row = estimate.data, pools.n_points, self.row
        counts = data.counts[row].toarray()[0].astype(np.float64)
        depth = counts.sum()
        # Counts beyond those expected, gene by gene, on the statistics that the network pools.
        encoder = estimate.panel_encoder
        own_weight = (pools.weight * pools.itself).sum(dim=2).cpu()
        residual = inputs.residual.view(len(pools.weight), -1, n_points, inputs.residual.shape[2]).sum(dim=1)
        towards = torch.einsum("sp,spk->k", own_weight, residual).numpy().astype(np.float64)
        by_gene = (counts - depth * estimate.panel_share) * (encoder.encoder @ towards)
        rest = float(
            (inputs.exposure.view(len(pools.weight), -1, n_points).sum(dim=1) * pools.exposure[OWN].cpu()).sum()
        )
        image = way.shown.image.repeat_interleave(n_points, dim=0)[:, 0]
        expected = pools.expected[OWN].cpu().repeat(1, len(way.weight), 1)
        rest -= float((inputs.residual * image[:, None] * expected).sum())
        corners = corner_weights(way.shown.image, way.shown.reference)
        if run.sample_field is not None:
            factors, columns = run.sample_field.factors, run.sample_field.factors.columns
            towards = torch.einsum("bc,bl->cl", corners, tail.statistic).numpy()
            for c in range(len(towards)):
                share = panel_share(estimate.panel, estimate.latents[c])(np.array([row]), columns)[0]
                by_gene[columns] += (counts[columns] - depth * share) * (factors.encoder @ towards[c])
            rest += float(tail.information.sum() * self.terms.information[OWN][0])
        if len(estimate.informed):
            here = float((tail.counted.sum(dim=0) * self.terms.counted[OWN][0]).sum())
            here += float((torch.einsum("bc,bi->ci", corners, tail.expected) * self.terms.expected[OWN][:, 0]).sum())
            by_gene[run.genes.panel_columns == gene] += here
        return {f"gene {name}": float(v) for name, v in zip(data.names, by_gene)} | {
            DEPTH: rest,
            EXPERTS: self._through_experts(way, tail, "own"),
        }

    def _neighbours(self, slopes, gene: int) -> np.ndarray:
        way, inputs, tail = slopes
        estimate, pools, run = self.estimate, self.pools, self.estimate.run
        surroundings, n_points, n = estimate.surroundings, pools.n_points, len(estimate.data.xy_um)
        statistic, totals = (values.cpu().numpy().astype(np.float64) for values in surroundings.by_location)
        image = way.shown.image.repeat_interleave(n_points, dim=0)[:, 0]
        shape = (len(pools.weight), -1, n_points)
        residual = inputs.residual.view(*shape, inputs.residual.shape[2])
        against = (inputs.residual * image[:, None]).view(*residual.shape).sum(dim=1).numpy().astype(np.float64)
        residual = residual.sum(dim=1).numpy().astype(np.float64)
        exposure = inputs.exposure.view(*shape).sum(dim=1).numpy().astype(np.float64)
        weight, index = (values.cpu().numpy() for values in (pools.weight, pools.index))
        found = np.zeros(n)
        for s, level in enumerate(surroundings.view.pooling.levels):
            nodes, place = np.unique(index[s], return_inverse=True)
            lends = np.zeros((n_points, len(nodes)))
            np.add.at(lends, (np.arange(n_points)[:, None], place.reshape(index[s].shape)), weight[s])
            expectation = surroundings.expectation[s].cpu().numpy()[nodes]
            by_statistic = lends.T @ residual[s]  # nodes × K
            by_count = lends.T @ exposure[s] - (lends.T @ against[s] * expectation).sum(axis=1)
            at = np.searchsorted(nodes, level.member).clip(max=len(nodes) - 1)
            near = np.flatnonzero(nodes[at] == level.member)
            at = at[near]
            found[near] += (by_statistic[at] * statistic[near]).sum(axis=1) + by_count[at] * totals[near]
        found[self.row] = 0.0
        corners = corner_weights(way.shown.image, way.shown.reference)
        rows = np.array([self.row])
        if run.sample_field is not None:
            field = run.sample_field
            pool = estimate.kernels(rows, field.factors.width_um)[OTHERS]
            towards = torch.einsum("bc,bl->cl", corners, tail.statistic).numpy()
            change = field.exposure[pool.indices] * float(tail.information.sum())
            for c, values in enumerate(estimate.statistics):
                change = change + values[pool.indices] @ towards[c]
            found[pool.indices] += pool.data * change
        if len(estimate.informed):
            pool = estimate.kernels(rows, run.pooler.width_um)[OTHERS]
            change = estimate.counts[pool.indices] @ tail.counted.sum(dim=0).numpy()
            towards = torch.einsum("bc,bi->ci", corners, tail.expected).numpy()
            for c, panel_counts in enumerate(estimate.expected):
                change = change + panel_counts[pool.indices] @ towards[c]
            found[pool.indices] += pool.data * change
        if (by_experts := self._through_experts(way, tail, "neighbours")) != 0:
            weights = run.mixture.neighbours(Points(estimate.data.xy_um[rows], rows))
            found[weights.indices] += weights.data * by_experts
        return found

    def _through_experts(self, way: _Way, tail: Tail, signal: str) -> float:
        """What a signal changes in the experts beside the network."""
        there = {name: getattr(way.shown, name) for name in EXPERT_SIGNALS}
        ones, zeros = torch.ones_like(way.shown.image), torch.zeros_like(way.shown.image)
        change = expert_weights(**(there | {signal: ones})) - expert_weights(**(there | {signal: zeros}))
        return float((tail.experts * torch.einsum("bc,cg->bg", change, self.terms.experts[:, 0])).sum())


def _repeated(terms: Terms, copies: int) -> Terms:
    return Terms(
        terms.statistic.repeat(1, 1, copies, 1),
        terms.information.repeat(1, copies),
        terms.counted.repeat(1, copies, 1),
        terms.expected.repeat(1, 1, copies, 1),
        terms.experts.repeat(1, copies, 1),
        terms.network.repeat(copies, 1),
    )


def _spread(values: np.ndarray, missed: float) -> np.ndarray:
    """The same values with what the sum missed spread over them in proportion to their size."""
    size = np.abs(values)
    total = size.sum()
    if total <= 0:
        if len(values):
            values = values.copy()
            values[0] += missed
        return values
    return values + missed * size / total

"""The estimate of some genes as a function of which signals are there.

The value is the base-2 logarithm of a gene's estimated share of the counts over its level in the section: 0 is the
level, 1 twice as much. What was fitted once for the section (the kernels, the sample-specific factors, how far a gene
trusts its counts) stays as it is; only what the fitted estimate is shown changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from focus_cli.core.progress import task
from focus_cli.enhancement.attribution.game import COALITIONS, PARTS, Coalition, shapley
from focus_cli.enhancement.attribution.network import Inputs, OpenedNet, Shown, show
from focus_cli.enhancement.attribution.pools import OTHERS, OWN, Pools, Surroundings
from focus_cli.enhancement.attribution.vectors import VectorCells
from focus_cli.enhancement.inference import Inference
from focus_cli.enhancement.residual import kernel
from focus_cli.enhancement.sample_factors import panel_share
from focus_cli.experts import Points
from focus_cli.model.priors import panel_statistics

POINTS = 8192  # of a forward pass
CORNERS = 4  # image there or not, reference there or not
EXPERT_SIGNALS = ("image", "own", "neighbours")
_FLOOR = 1e-12


def corner(image: float, reference: float) -> int:
    """Row of a corner among `CORNERS`."""
    return int(image) + 2 * int(reference)


def expert_weights(image: Tensor, own: Tensor, neighbours: Tensor) -> Tensor:
    """Trilinear weights of the corners of three signals that are there in part (B × 1 each), B × 8.

    Bit `i` of a corner's number states whether signal `i` of `EXPERT_SIGNALS` is there.
    """
    weights = torch.ones_like(image)
    for signal in (image, own, neighbours):
        weights = torch.cat([weights * (1 - signal), weights * signal], dim=1)
    return weights


def corner_weights(image: Tensor, reference: Tensor) -> Tensor:
    """Bilinear weights of the corners, B × 4, for signals that are there in part (B × 1)."""
    return torch.cat(
        [(1 - image) * (1 - reference), image * (1 - reference), (1 - image) * reference, image * reference], dim=1
    )


@dataclass
class Tail:
    """What follows the network, per location (B) and requested gene (G); all that differs between sets of signals.

    Attributes
    ----------
    statistic, information
        B × L and B × 1: of the sample-specific factors.
    counted, expected
        B × I: pooled counts of the genes that their own counts inform, and how many were expected.
    experts
        B × G: what the experts beside the network expect, times their weights, over the level.
    network
        B × G: weight of the network.
    vector
        B × 1, or B × (K + L): how far gene vectors that come from the reference are there.
    """

    statistic: Tensor
    information: Tensor
    counted: Tensor
    expected: Tensor
    experts: Tensor
    network: Tensor
    vector: Tensor


@dataclass(frozen=True)
class Terms:
    """Counts around B locations, own apart from neighbours', for each corner of what the network expected of them.

    `statistic` is W × 4 × B × L, `information` W × B, `counted` W × B × I, `expected` W × 4 × B × I, `experts`
    8 × B × G (see `expert_weights`), `network` B × G.
    """

    statistic: Tensor
    information: Tensor
    counted: Tensor
    expected: Tensor
    experts: Tensor
    network: Tensor

    def tail(self, shown: Shown) -> Tail:
        """The sums of a set of signals (B × 1 each)."""
        weights = corner_weights(shown.image, shown.reference)
        own, others = shown.own, shown.neighbours

        def at(values: Tensor) -> Tensor:
            return torch.einsum("bc,cbx->bx", weights, values)

        return Tail(
            statistic=own * at(self.statistic[OWN]) + others * at(self.statistic[OTHERS]),
            information=own * self.information[OWN][:, None] + others * self.information[OTHERS][:, None],
            counted=own * self.counted[OWN] + others * self.counted[OTHERS],
            expected=own * at(self.expected[OWN]) + others * at(self.expected[OTHERS]),
            experts=torch.einsum("bc,cbg->bg", expert_weights(shown.image, own, others), self.experts),
            network=self.network,
            vector=shown.reference,
        )


class Estimate:
    """Estimates of the genes of an `Inference` from any set of signals."""

    def __init__(self, run: Inference) -> None:
        self.run, self.data = run, run.data
        self.net = run.model.net
        self.surroundings = Surroundings(run.data, run.view, self.net, run.section.area)
        self.opened = OpenedNet(self.net, self.surroundings.nodes, run.view, run.image_transfer)
        self.n_states = len(run.view.states)
        self.decoder = run.decoder
        self.n_factors = self.net.config.n_factors
        self.vector_of_reference = self._vectors_of_reference()
        rows = run.section.panel_rows
        expected = run.section.baseline[rows]
        self.panel_share = expected / expected.sum()
        self.panel_encoder = panel_statistics(run.prior.loadings[rows], expected, np.ones(len(rows), bool))
        self._informed()
        self.cells = VectorCells(run, self.n_factors)
        self.plain = replace(run.section, sample_loadings=None)
        self._fill_corners()

    @property
    def has_image(self) -> bool:
        """Whether the image is a signal at all."""
        return self.surroundings.sees

    @property
    def has_reference(self) -> bool:
        """Whether the reference is."""
        return self.n_states > 0 or bool(self.vector_of_reference.any())

    def _vectors_of_reference(self) -> Tensor:
        """Genes × (K + L): entries of gene vectors that cells of a reference gave, as no counts of the gene could."""
        genes, prior = self.run.genes, self.run.prior
        given = ~genes.measured & prior.in_reference[genes.prior_rows] & ~prior.measured[genes.prior_rows]
        mask = np.zeros(tuple(self.decoder.loadings.shape), np.float32)
        mask[given, : self.n_factors] = 1
        mask[~genes.measured, self.n_factors :] = 1
        return torch.from_numpy(mask)

    def _informed(self) -> None:
        pooler = self.run.pooler
        self.informed = np.zeros(0, np.int64) if pooler is None else pooler.columns
        self.kappa = torch.zeros(0) if pooler is None else torch.from_numpy(pooler.kappa.astype(np.float32))
        self.counts = None if pooler is None else pooler.counts.tocsr()

    def same(self, coalition: Coalition) -> Coalition:
        """An equal set of signals: one that is not there at all neither joins nor leaves."""
        return replace(
            coalition,
            image=coalition.image if self.has_image else 0.0,
            reference=coalition.reference if self.has_reference else 0.0,
        )

    def _fill_corners(self) -> None:
        """What the network expects of every location at each corner, all counts being there."""
        run, k = self.run, self.n_factors
        whole = corner(self.has_image, self.has_reference)
        latents: dict[int, np.ndarray] = {whole: run.latents.mean[:, :k]}
        self.latents, self.statistics, self.expected = [], [], []
        for number in range(CORNERS):
            same = self.same(Coalition(image=number & 1, reference=number >> 1))
            at = corner(same.image, same.reference)
            if at not in latents:
                latents[at] = self._latents(same)
            self.latents.append(latents[at])
        rows = run.section.panel_rows
        panel = self.plain.decoder(rows, np.ones(len(rows), bool)) if run.sample_field is not None else None
        done: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for latent in self.latents:
            if id(latent) not in done:
                done[id(latent)] = self._of_locations(latent, panel)
            statistic, expected = done[id(latent)]
            self.statistics.append(statistic)
            self.expected.append(expected)
        self.panel = panel

    def _of_locations(self, latent: np.ndarray, panel) -> tuple[np.ndarray, np.ndarray]:
        """Statistics of the sample-specific factors (N × L), and expected counts of informed genes (N × I)."""
        run, field = self.run, self.run.sample_field
        statistic = np.zeros((len(latent), 0), np.float32)
        if field is not None:
            share = panel_share(panel, latent)
            field = field.factors.field(self.data.counts, self.data.exposure, share, self.data.xy_um)
            statistic = field.statistics
            latent = np.concatenate([latent, field.at(self.data.xy_um)[0].astype(np.float32)], axis=1)
        if not len(self.informed):
            return statistic, np.zeros((len(latent), 0), np.float32)
        share = run.decoder.share(latent, torch.from_numpy(self.informed)).numpy()
        return statistic, self.data.exposure.astype(np.float32)[:, None] * share

    def _latents(self, coalition: Coalition) -> np.ndarray:
        n = len(self.data.xy_um)
        latent = np.empty((n, self.n_factors), np.float32)
        for rows in self.blocks(np.arange(n)):
            pools = self.surroundings.around(rows)
            latent[rows] = self._network(pools, coalition).cpu().numpy()
        return latent

    def blocks(self, rows: np.ndarray) -> list[np.ndarray]:
        """`rows` in pieces of one forward pass."""
        step = max(1, POINTS // len(self.surroundings.area))
        return [rows[start : start + step] for start in range(0, len(rows), step)]

    def _network(self, pools: Pools, coalition: Coalition) -> Tensor:
        """Mean latents of locations, B × K."""
        shown = constant(coalition, len(pools.features), pools.features.device)
        with torch.no_grad():
            return self.mean_of_points(self.opened.latent(show(pools, shown, self.n_states)), pools.n_points)

    @staticmethod
    def mean_of_points(values: Tensor, n_points: int) -> Tensor:
        """Over the points of each footprint."""
        return values.view(-1, n_points, values.shape[1]).mean(dim=1)

    def terms(self, rows: np.ndarray) -> Terms:
        """Counts around some locations."""
        field, pooler, n = self.run.sample_field, self.run.pooler, len(rows)
        statistic = torch.zeros((2, CORNERS, n, self.statistics[0].shape[1]))
        information = torch.zeros((2, n))
        if field is not None:
            for who, pool in enumerate(self.kernels(rows, field.factors.width_um)):
                information[who] = torch.from_numpy(pool @ field.exposure)
                for c, values in enumerate(self.statistics):
                    statistic[who, c] = torch.from_numpy(pool @ values)
        counted = torch.zeros((2, n, len(self.informed)))
        expected = torch.zeros((2, CORNERS, n, len(self.informed)))
        if len(self.informed):
            for who, pool in enumerate(self.kernels(rows, pooler.width_um)):
                counted[who] = torch.from_numpy((pool @ self.counts).toarray())
                for c, panel_counts in enumerate(self.expected):
                    expected[who, c] = torch.from_numpy(pool @ panel_counts)
        return Terms(statistic, information, counted, expected, *self._experts(rows))

    def _experts(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """`Terms.experts` and `Terms.network` of some locations."""
        n_genes = len(self.decoder.baseline)
        experts, network = np.zeros((2 * CORNERS, len(rows), n_genes), np.float32), np.ones((len(rows), n_genes))
        mixture, data = self.run.mixture, self.data
        if mixture is not None:
            features = None if data.raster is None else data.location_features[rows]
            counted = data.exposure[rows] > 0
            points = Points(data.xy_um[rows], np.where(counted, rows, -1), features)
            done: dict[str, list] = {}  # corners that leave the same of every expert share the work
            for number in range(2 * CORNERS):
                there = {name: bool(number >> bit & 1) for bit, name in enumerate(EXPERT_SIGNALS)}
                left = str(mixture.left(**there))
                if left not in done:
                    done[left] = [(mixed, *mixed.rest()) for mixed in mixture.at(points, counted, **there)]
                for mixed, share, weight in done[left]:
                    experts[number][np.ix_(mixed.rows, mixed.columns)] = share
                    network[np.ix_(mixed.rows, mixed.columns)] = weight
        experts /= np.maximum(self.decoder.baseline.numpy(), _FLOOR)
        return torch.from_numpy(experts), torch.from_numpy(network.astype(np.float32))

    def kernels(self, rows: np.ndarray, width_um: float):
        """Kernel weights of the locations themselves and of all others: two CSR, rows × locations."""
        xy = self.data.xy_um
        pool = kernel(xy, xy[rows], width_um).tocoo()
        itself = pool.col == rows[pool.row]
        parts = []
        for keep in (itself, ~itself):
            part = pool.copy()
            part.data, part.row, part.col = pool.data[keep], pool.row[keep], pool.col[keep]
            parts.append(part.tocsr())
        return parts

    def finish(self, latent: Tensor, tail: Tail, genes: slice = slice(None)) -> Tensor:
        """From latents (B × K) to values, B × G, log2 over the level."""
        precision = (
            self.run.sample_field.factors.precision if self.run.sample_field is not None else np.zeros(0, np.float32)
        )
        own = tail.statistic / (1 + tail.information * torch.from_numpy(precision))
        z = torch.cat([latent, own], dim=1)
        given = (z * tail.vector) @ (self.decoder.loadings * self.vector_of_reference).T
        learnt = z @ (self.decoder.loadings * (1 - self.vector_of_reference)).T
        u = learnt + given
        value = torch.where(u >= 0, torch.log1p(u.clamp(min=0)), u)
        if len(self.informed):
            gain = torch.log((self.kappa + tail.counted) / (self.kappa + tail.expected))
            value = value.index_add(1, torch.from_numpy(self.informed), gain)
        if self.run.mixture is not None:
            value = torch.log(tail.network * torch.exp(value) + tail.experts)
        return value / math.log(2)

    def value(self, inputs: Inputs, n_points: int, tail: Tail) -> Tensor:
        """Values of locations and genes, B × G, from all that they are shown."""
        return self.finish(self.mean_of_points(self.opened.latent(inputs), n_points).cpu(), tail)

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Values of every set of signals, float64, 16 × rows × genes."""
        found = np.empty((len(COALITIONS), len(rows), len(self.decoder.baseline)))
        start = 0
        for block in self.blocks(rows):
            pools, terms = self.surroundings.around(block), self.terms(block)
            at, done = slice(start, start + len(block)), {}
            for number, coalition in enumerate(COALITIONS):
                same = self.same(coalition)
                if same not in done:
                    latent = self._network(pools, same).cpu()
                    done[same] = self.finish(latent, terms.tail(constant(same, len(block)))).numpy()
                found[number, at] = done[same]
            start += len(block)
        return found

    def parts(self) -> dict[str, np.ndarray]:
        """Parts of the values of all locations, float64, each locations × genes."""
        n = len(self.data.xy_um)
        found = {name: np.empty((n, len(self.decoder.baseline))) for name in PARTS}
        with task("taking signals away", n) as progress:
            for block in self.blocks(np.arange(n)):
                for name, values in shapley(self.values(block)).items():
                    found[name][block] = values
                progress.advance(len(block))
        return found

    def level(self) -> np.ndarray:
        """Log2 of the share of every gene, per 10,000 counts, at which values are 0."""
        return np.log2(np.maximum(self.decoder.baseline.numpy().astype(np.float64), _FLOOR) * 1e4)


def constant(coalition: Coalition, n: int, device: torch.device | str = "cpu") -> Shown:
    """The same set of signals `n` times."""
    return Shown(
        **{
            name: torch.full((n, 1), float(getattr(coalition, name)), device=device)
            for name in ("image", "reference", "own", "neighbours")
        }
    )

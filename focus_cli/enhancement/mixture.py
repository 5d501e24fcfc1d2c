"""The estimate of measured genes as a mixture of the network and of simple methods, by the likelihood of hidden counts.

A simple method that predicts hidden counts better than the network does on this section gets the weight that it
deserves; the network keeps all where none does. There is one mixture for locations with counts and one for places
without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from focus_cli.experts import (
    GeneMean,
    ImageRidge,
    ImageRidgeResiduals,
    InverseDistance,
    NotRunnable,
    OwnCounts,
    Points,
    PrincipalComponents,
    Shares,
    Visible,
    weights_by_group,
)
from focus_cli.model.conditioning import SampleData

NETWORK = "network"
GROUPS = 4  # of genes, by abundance
NEGLIGIBLE = 0.01  # weight of an expert that is left out


def fit_experts(visible: Visible, use: str, seed: int, names: Sequence[str] | None = None) -> dict[str, object]:
    """The simple methods of a use, fitted on what is visible; those that do not apply are left out.

    Parameters
    ----------
    use
        ``counts`` for locations with counts, ``positions`` for places without.
    names
        Only these.
    """
    found: dict[str, object] = {}

    def ridge() -> ImageRidge:
        if "ridge" not in found:
            found["ridge"] = ImageRidge(visible)
        return found["ridge"]

    makers: dict[str, Callable[[], object]] = {"gene_mean": lambda: GeneMean(visible)}
    if use == "counts":
        makers |= {
            "pca_smoothing": lambda: PrincipalComponents(visible, seed),
            "own_counts": lambda: OwnCounts(visible),
        }
    else:
        makers |= {
            "inverse_distance": lambda: InverseDistance(visible),
            "ridge": ridge,
            "ridge_residuals": lambda: ImageRidgeResiduals(ridge()),
        }
    for name, make in makers.items():
        if names is None or name in names:
            try:
                found[name] = make()
            except NotRunnable:
                continue
    return {name: expert for name, expert in found.items() if names is None or name in names}


def visible_counts(data: SampleData, counts: sparse.csr_matrix) -> Visible:
    """Some counts of a sample (CSR, locations × panel), as the experts use them."""
    exposure = np.asarray(counts.sum(axis=1), np.float64).ravel()
    return Visible(counts.tocsr(), exposure, data.xy_um, None if data.raster is None else data.location_features)


@dataclass(frozen=True)
class Weights:
    """Weights of one use.

    Attributes
    ----------
    names
        The network first, then the experts.
    values
        float64, `GROUPS` × names.
    edges
        float64 (`GROUPS` − 1,): shares of the counts that part the groups, ascending.
    """

    names: tuple[str, ...]
    values: np.ndarray
    edges: np.ndarray

    def of_genes(self, level: np.ndarray) -> np.ndarray:
        """Weights of genes by their share of the counts: float32, genes × names."""
        return self.values[np.searchsorted(self.edges, level)].astype(np.float32)

    def at_depth(self, factor: float) -> Weights:
        """Weights for `factor` times the visible counts that they were fitted on.

        The noise of an expert that rests on the counts of the location falls with their number, so its odds against the
        network rise with it. A constant gene has no such noise.
        """
        odds = self.values * np.where(np.isin(self.names, (NETWORK, GeneMean.name)), 1.0, factor)
        return replace(self, values=odds / odds.sum(axis=1, keepdims=True))

    def record(self) -> dict:
        """For ``uns``, JSON-safe."""
        return {
            "experts": list(self.names),
            "weights": self.values.round(4).tolist(),
            "share_of_counts_between_groups": [float(f"{edge:.4g}") for edge in self.edges],
        }


def fit_weights(
    counts: np.ndarray, exposure: np.ndarray, network: np.ndarray, experts: dict[str, np.ndarray], level: np.ndarray
) -> Weights:
    """Weights under which hidden counts are likeliest.

    Parameters
    ----------
    counts
        Hidden counts, n × genes.
    exposure
        Total hidden counts of each location, (n,).
    network
        Shares by the network, n × genes.
    experts
        Name → shares, n × genes.
    level
        Share of each gene in the section.
    """
    edges = np.quantile(level, np.arange(1, GROUPS) / GROUPS) if len(level) else np.zeros(GROUPS - 1)
    names, shares = (NETWORK, *experts), [network, *experts.values()]
    group = np.searchsorted(edges, level)

    def fitted(kept: Sequence[int]) -> np.ndarray:
        return weights_by_group(counts, [exposure[:, None] * shares[i] for i in kept], group, GROUPS)

    values = fitted(range(len(names)))
    kept = [0, *(i for i in range(1, len(names)) if values[:, i].max() >= NEGLIGIBLE)]
    if len(kept) < len(names):
        values = fitted(kept)
    return Weights(tuple(names[i] for i in kept), values, edges)


@dataclass(frozen=True)
class Mixed:
    """The experts at some rows of a block.

    `rows` are those rows, `columns` (ascending) the output columns of the panel's genes, `panel` their columns in the
    counts, `weights` genes × (1 + experts).
    """

    rows: np.ndarray
    columns: np.ndarray
    panel: np.ndarray
    weights: np.ndarray
    shares: tuple[Shares, ...]

    def rest(self) -> tuple[np.ndarray, np.ndarray]:
        """What the experts contribute beside the network, float32 rows × genes; and the network's weight (genes)."""
        found = np.zeros((len(self.rows), len(self.columns)), np.float32)
        for i, shares in enumerate(self.shares, start=1):
            found += self.weights[:, i] * shares(self.panel)
        return found, self.weights[:, 0]

    def update(self, share: Tensor, sd: Tensor, genes: slice) -> None:
        """Mix shares and sds of a range of output genes (rows × genes), in place.

        The variance is that of the network, as far as it weighs, and that between the experts.
        """
        first, last = np.searchsorted(self.columns, (genes.start, genes.stop))
        if first == last or not self.shares:
            return
        whole = len(self.rows) == len(share)
        rows, here = torch.from_numpy(self.rows), torch.from_numpy(self.columns[first:last] - genes.start)
        at = (slice(None), here) if whole else (rows[:, None], here[None])
        weights = torch.from_numpy(self.weights[first:last])
        parts = [share[at], *(torch.from_numpy(f(self.panel[first:last])) for f in self.shares)]
        mean = sum(weights[:, i] * part for i, part in enumerate(parts))
        variance = weights[:, 0] * sd[at] ** 2
        for i, part in enumerate(parts):
            variance += weights[:, i] * (part - mean) ** 2
        share[at], sd[at] = mean, variance.sqrt_()


class Mixture:
    """Both uses on one section, the experts fitted on all of its counts.

    Parameters
    ----------
    visible
        The whole section.
    weights
        Use → its weights.
    columns
        Output column of each panel gene, −1 where it is not written.
    """

    def __init__(self, visible: Visible, weights: dict[str, Weights], columns: np.ndarray, seed: int) -> None:
        self.weights = weights
        self._visible, self._seed = visible, seed
        self._panel = np.flatnonzero(columns >= 0)
        self._columns = columns[self._panel]
        self._of_genes = {use: found.of_genes(visible.level[self._panel]) for use, found in weights.items()}
        self._experts = {use: fit_experts(visible, use, seed, found.names[1:]) for use, found in weights.items()}

    def at(
        self, points: Points, counted: np.ndarray, *, image: bool = True, own: bool = True, neighbours: bool = True
    ) -> list[Mixed]:
        """The experts at a block of points, of which some have counts (`counted`, bool).

        Without one of the signals, an expert that rests on it falls back on what it has left.
        """
        names = self.left(image=image, own=own, neighbours=neighbours)
        found = []
        for use, rows in (("counts", np.flatnonzero(counted)), ("positions", np.flatnonzero(~counted))):
            if len(rows) and use in self.weights:
                here = points.take(rows)
                shares = tuple(self._expert(use, name).at(here) for name in names[use])
                found.append(Mixed(rows, self._columns, self._panel, self._of_genes[use], shares))
        return found

    def left(self, *, image: bool, own: bool, neighbours: bool) -> dict[str, list[str]]:
        """Use → names of what is left of its experts with these signals."""
        there = {"image": image, "own": own, "neighbours": neighbours}
        return {use: [self._left(name, there) for name in found.names[1:]] for use, found in self.weights.items()}

    @staticmethod
    def _left(name: str, there: dict[str, bool]) -> str:
        """What is left of an expert with these signals."""
        if name == "ridge_residuals":
            return {(True, True): name, (True, False): "ridge", (False, True): "inverse_distance"}.get(
                (there["image"], there["neighbours"]), "gene_mean"
            )
        needed = {"ridge": "image", "inverse_distance": "neighbours", "own_counts": "own", "pca_smoothing": "own"}
        return name if name not in needed or there[needed[name]] else "gene_mean"

    def _expert(self, use: str, name: str):
        """An expert, fitted when it is first used: what is left of another may not be in the mixture."""
        if name not in self._experts[use]:
            self._experts[use] |= fit_experts(self._visible, use, self._seed, [name])
        return self._experts[use][name]

    def neighbours(self, points: Points) -> sparse.csr_matrix:
        """Weights of the locations around points in the experts that use neighbours, CSR (points, locations)."""
        return self._expert("positions", InverseDistance.name).weights(points)

    def network_weight(self, n_genes: int, counted: bool) -> np.ndarray:
        """Weight of the network at locations with counts or at other places, float32 (n_genes,).

        1 for genes that are not measured.
        """
        found = np.ones(n_genes, np.float32)
        found[self._columns] = self._of_genes["counts" if counted else "positions"][:, 0]
        return found

    def record(self) -> dict:
        """For ``uns``, JSON-safe."""
        return {use: found.record() for use, found in self.weights.items()}

"""Taking a signal away, or replacing it by another place's: the proof that an estimate rests on it.

A signal that costs nothing when it is shuffled was never used. The model stays as it is; only what it is shown changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from focus_cli.core.errors import UsageError
from focus_cli.core.random import stream
from focus_cli.model.conditioning.sample import SampleData, without_image
from focus_cli.model.priors import Pooling, SpatialPrior

SIGNALS = ("image", "reference", "spatial")
WAYS = ("drop", "shuffle")


def parse_ablations(texts: Iterable[str]) -> dict[str, str]:
    """Read ``image=shuffle`` and the like: signal → way.

    Raises
    ------
    UsageError
        If a signal or a way is not known, or a signal is named twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        signal, _, way = text.partition("=")
        if signal not in SIGNALS or way not in WAYS:
            raise UsageError(
                f"--ablate {text}: unknown", hint=f"SIGNAL=WAY; signals: {', '.join(SIGNALS)}; ways: {', '.join(WAYS)}"
            )
        if signal in found:
            raise UsageError(f"--ablate names {signal} twice", hint="drop it or shuffle it")
        found[signal] = way
    return found


@dataclass(frozen=True)
class _OtherPlaces:
    """A raster that shows at each location what lies around another one."""

    raster: object
    xy_um: np.ndarray
    other: np.ndarray

    @property
    def names(self) -> list[str]:
        return self.raster.names

    def sample(self, xy_um: np.ndarray, then: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        _, nearest = cKDTree(self.xy_um).query(xy_um)
        return self.raster.sample(xy_um + self.xy_um[self.other[nearest]] - self.xy_um[nearest], then)

    def tissue(self, xy_um: np.ndarray) -> np.ndarray:
        # Where tissue is, is not what is asked: estimates stay at the same places.
        return self.raster.tissue(xy_um)


@dataclass(frozen=True)
class _Alone(Pooling):
    """No neighbourhood: a query sees the location that it lies in."""

    def neighbours(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index, weight = super().neighbours(xy)
        keep = np.zeros_like(weight)
        for s in self.of_locations:
            keep[s, :, 0] = 1
        return index, weight * keep


@dataclass(frozen=True)
class _Strangers(Pooling):
    """The location that a query lies in, among neighbours from elsewhere."""

    seed: int = 0

    def neighbours(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index, weight = super().neighbours(xy)
        own = self.of_locations
        for s, level in enumerate(self.levels):
            # Levels of the same nodes are shuffled alike.
            other = stream(self.seed, "enhance/ablation of neighbourhoods", level.n_nodes).permutation(level.n_nodes)
            first = 1 if s in own else 0
            index[s, :, first:] = other[index[s, :, first:]]
        return index, weight


def ablate_sample(data: SampleData, ablations: dict[str, str], seed: int) -> SampleData:
    """The sample without its image or neighbourhoods, or with those of other places."""
    if data.raster is not None and "image" in ablations:
        if ablations["image"] == "drop":
            data = without_image(data, data.n_features)
        else:
            other = stream(seed, "enhance/ablation of the image").permutation(len(data.xy_um))
            data = replace(data, raster=_OtherPlaces(data.raster, data.xy_um, other))
    if "spatial" in ablations:
        whole = data.pooling
        pooling = (
            _Alone(whole.levels, whole.trees)
            if ablations["spatial"] == "drop"
            else _Strangers(whole.levels, whole.trees, seed)
        )
        data = replace(data, own_pooling=pooling)
    return data


def ablate_reference(
    prior: SpatialPrior, states: np.ndarray, panel: np.ndarray, ablations: dict[str, str], seed: int
) -> tuple[SpatialPrior, np.ndarray]:
    """The prior and the cell states without what a reference holds on genes that the panel does not hold.

    Parameters
    ----------
    states
        C × K.
    panel
        Names of the sample's genes; they keep their vectors.
    """
    way = ablations.get("reference")
    if way is None:
        return prior, states
    outside = np.setdiff1d(np.arange(len(prior.genes)), prior.rows(panel))
    loadings = prior.loadings.copy()
    if way == "drop":
        loadings[outside], states = 0, states[:0]
    else:
        rng = stream(seed, "enhance/ablation of the reference")
        loadings[outside] = loadings[rng.permutation(outside)]
        states = rng.permuted(states, axis=1)
    return replace(prior, loadings=loadings), states

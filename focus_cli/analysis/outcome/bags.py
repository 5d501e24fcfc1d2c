"""A donor as a bag of locations: a bounded number of rows of its embeddings."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from focus_cli.analysis.heads.embeddings import Embedding, read_cohort
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import track
from focus_cli.core.random import stream

LIMIT = 512  # locations of a donor that a fit sees
_MIN_SCALE = 1e-6


@dataclass(frozen=True)
class Bags:
    """Locations of donors.

    Attributes
    ----------
    features
        One float32 (k, D) for each donor, in the order of the donors.
    space, widths
        Of the embeddings.
    """

    features: list[np.ndarray]
    space: str
    widths: dict[str, int]


def on_tissue(embedding: Embedding) -> np.ndarray:
    """Features of the locations on tissue, sorted by name, float32 (n, D).

    Raises
    ------
    BadInputError
        If there are none.
    """
    rows = np.flatnonzero(embedding.in_tissue)
    if not len(rows):
        raise BadInputError(f"{embedding.path} has no location on tissue")
    return embedding.features[rows[np.argsort(embedding.names[rows].to_numpy().astype(str), kind="stable")]]


def read_bags(
    paths: Sequence[Path], samples: Mapping[str, str], donors: Sequence[str], *, limit: int = LIMIT, seed: int = 0
) -> Bags:
    """Read embeddings one after the other and keep `limit` locations of each donor, evenly from its samples.

    Which ones depends on the seed and the sample's name, not on the order of files or rows.
    """
    several = {donor: sum(d == donor for d in samples.values()) for donor in donors}
    parts: dict[str, list[np.ndarray]] = {donor: [] for donor in donors}
    space, widths = "", {}
    for embedding in track(read_cohort(paths), "reading embeddings", len(paths)):
        space, widths = embedding.space, embedding.widths
        donor = samples[embedding.sample]
        features = on_tissue(embedding)
        rng = stream(seed, "outcome/bags", zlib.crc32(embedding.sample.encode()))
        share = max(1, limit // several[donor])
        rows = np.sort(rng.choice(len(features), min(share, len(features)), replace=False))
        parts[donor].append(features[rows])
    return Bags([np.concatenate(parts[donor]) for donor in donors], space, widths)


@dataclass(frozen=True)
class Axes:
    """Features as the net sees them: standardised, on their leading principal axes.

    Attributes
    ----------
    mean, scale
        float32 (D,).
    axes
        float32 (D, A); columns of unit length, scaled so that the first has unit variance.
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray

    def standardise(self, features: np.ndarray) -> np.ndarray:
        """Features in units of their standard deviation, float32 (n, D)."""
        return ((features - self.mean) / self.scale).astype(np.float32)

    def project(self, features: np.ndarray) -> np.ndarray:
        """float32 (n, A)."""
        return self.standardise(features) @ self.axes


def learn_axes(bags: Sequence[np.ndarray], n_axes: int) -> Axes:
    """Principal axes of the locations of some donors, each donor counting the same; outcomes are not used."""
    weights = np.concatenate([np.full(len(bag), 1 / (len(bag) * len(bags))) for bag in bags])
    values = np.concatenate(bags).astype(np.float64)
    mean = weights @ values
    scale = np.maximum(np.sqrt(weights @ (values - mean) ** 2), _MIN_SCALE)
    values = (values - mean) / scale
    variance, vectors = np.linalg.eigh((values * weights[:, None]).T @ values)
    order = np.argsort(variance)[::-1][: min(n_axes, len(variance))]
    vectors = vectors[:, order]
    vectors *= np.where(np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], 0) < 0, -1, 1)  # one sign
    unit = np.sqrt(max(float(variance[order[0]]), 1e-12))
    return Axes(mean.astype(np.float32), scale.astype(np.float32), (vectors / unit).astype(np.float32))

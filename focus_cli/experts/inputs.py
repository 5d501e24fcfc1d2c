"""What an expert may use, and where it predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

Shares = Callable[[np.ndarray], np.ndarray]
"""Genes (columns of `Visible.counts`, int) → expected shares of the counts, float32 (Q, genes), never negative."""


@dataclass(frozen=True)
class Visible:
    """Counts of one section that an expert may use.

    Attributes
    ----------
    counts
        CSR, N × G.
    exposure
        float64 (N,): total counts of each location over the whole panel, of which `counts` may be a part. Locations
        with 0 are not measured.
    xy_um
        float64, N × 2.
    features
        float32, N × F: image features; None without an image.
    """

    counts: sparse.csr_matrix
    exposure: np.ndarray
    xy_um: np.ndarray
    features: np.ndarray | None = None

    @cached_property
    def measured(self) -> np.ndarray:
        """Rows with counts, ascending."""
        return np.flatnonzero(self.exposure > 0)

    @cached_property
    def level(self) -> np.ndarray:
        """float64 (G,): share of each gene over all locations, above 0."""
        total = np.asarray(self.counts.sum(axis=0), np.float64).ravel()
        return (total + 0.1) / (self.exposure.sum() + 0.1 * len(total))


@dataclass(frozen=True)
class Points:
    """Where shares are predicted.

    Attributes
    ----------
    xy_um
        float64, Q × 2.
    own
        int64 (Q,): row of `Visible` that is the same location, −1 where there is none.
    features
        float32, Q × F, or None.
    """

    xy_um: np.ndarray
    own: np.ndarray
    features: np.ndarray | None = None

    def take(self, rows: np.ndarray | slice) -> Points:
        """Some of them."""
        return Points(self.xy_um[rows], self.own[rows], None if self.features is None else self.features[rows])


class NotRunnable(Exception):
    """A method lacks a required input, which the message names."""

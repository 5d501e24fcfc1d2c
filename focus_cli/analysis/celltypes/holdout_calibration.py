"""Sections like this one whose truth is known: cells of the reference laid where the estimate places them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from focus_cli.analysis.celltypes.profiles import Profiles


@dataclass(frozen=True)
class Measurement:
    """How the sample sees cells.

    Attributes
    ----------
    cells
        Mean cells of a location; 1: each location is one cell.
    depth
        Mean counts of a location.
    spread
        Variance of the logarithm of counts over locations.
    gain_sd
        Standard deviation of the log gains of genes.
    cut
        Whether locations are smaller than cells, and hold unlike parts of several.
    """

    cells: float
    depth: float
    spread: float
    gain_sd: float
    cut: bool = False


def calibration_section(
    composition: np.ndarray, profiles: Profiles, measurement: Measurement, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Counts of a section whose locations hold cells of the reference, drawn by `composition`.

    Counts of real cells are summed, so that cells of a type differ as they do; each gene gets a gain, and
    counts are lost until the depth is the sample's.

    Parameters
    ----------
    composition
        Share of each type, float64 (n, K), rows sum to 1.

    Returns
    -------
    counts
        CSR float64 (n, G).
    truth
        Share of each type among the cells drawn, float64 (n, K).
    """
    n, n_types = composition.shape
    many = np.ones(n, np.int64)
    if measurement.cells > 1:
        many += rng.poisson(measurement.cells - 1, n)
    place = np.repeat(np.arange(n), many)
    edge = np.cumsum(composition, axis=1)
    edge /= edge[:, -1:]
    kind = (rng.random(len(place))[:, None] > edge[place]).sum(axis=1).clip(max=n_types - 1)
    have = profiles.n_cells
    first = np.concatenate([[0], np.cumsum(have)[:-1]])
    cell = first[kind] + (rng.random(len(place)) * have[kind]).astype(np.int64)
    part = rng.exponential(size=len(place)) if measurement.cut else np.ones(len(place))
    lay = sparse.csr_matrix((part, (place, cell)), shape=(n, profiles.cells.shape[0]))
    counts = sparse.csr_matrix(lay @ profiles.cells)
    truth = np.zeros((n, n_types))
    np.add.at(truth, (place, kind), part)
    gain = np.exp(rng.normal(0.0, measurement.gain_sd, counts.shape[1])) if measurement.gain_sd > 0 else 1.0
    whole = profiles.whole and not measurement.cut
    return _measured(counts, gain, whole, measurement, rng), truth / truth.sum(axis=1, keepdims=True)


def _measured(counts, gain, whole: bool, measurement: Measurement, rng: np.random.Generator) -> sparse.csr_matrix:
    total = np.asarray(counts.multiply(gain).sum(axis=1)).ravel()
    filled = total > 0
    own = float(np.var(np.log(total[filled]))) if filled.sum() > 1 else 0.0
    extra = np.sqrt(max(measurement.spread - own, 0.0))
    efficiency = np.exp(extra * rng.standard_normal(counts.shape[0]))
    efficiency *= measurement.depth / max(float(np.mean(total * efficiency)), 1e-9)
    chance = np.repeat(efficiency, np.diff(counts.indptr)) * np.broadcast_to(gain, counts.shape[1])[counts.indices]
    if whole:
        # UMIs of the reference are subsampled, not counted again; where more are needed they are repeated as
        # copies, of which some are dropped.
        copies = np.maximum(np.ceil(chance), 1.0)
        values = rng.binomial((counts.data * copies).astype(np.int64), np.minimum(chance / copies, 1.0))
    else:
        values = rng.poisson(counts.data * chance)
    out = sparse.csr_matrix((values.astype(np.float64), counts.indices, counts.indptr), shape=counts.shape)
    out.eliminate_zeros()
    return out

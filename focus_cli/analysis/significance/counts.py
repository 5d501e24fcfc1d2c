r"""Counts that can be tested: locations and genes with counts, in memory, sparse, with the effect of depth removed.

The null hypothesis of every test: the share of a gene is the same everywhere but for what the depth explains,
:math:`\log \mu_i = \log N_i + b_0 + b_1 \log N_i + b_2 \log^2 N_i`. To first order, and with weights that all genes
have in common, this is a projection of :math:`y_i / \sqrt{N_i}` off three columns (the efficient score of a Poisson
regression at a constant share), so it costs one product for all genes. States of locations are brought to the same
units before counts are regressed on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.matrices import sparse_blocks
from focus_cli.core.h5ad.spatial_file import SpatialFile


def depth_basis(totals: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span √N, √N log N and √N log² N; fewer where the depth hardly varies.

    Parameters
    ----------
    totals
        Counts of each location, above 0, float64 (n,).

    Returns
    -------
    numpy.ndarray
        float64 (n, 1 to 3).
    """
    root = np.sqrt(totals)
    log = np.log(totals) - np.average(np.log(totals), weights=totals)
    scale = max(float(np.sqrt(np.average(log**2, weights=totals))), 1e-12)
    columns = root[:, None] * (log / scale)[:, None] ** np.arange(3)
    columns /= np.linalg.norm(columns, axis=0)
    basis, r = np.linalg.qr(columns)
    kept = np.abs(np.diag(r)) > 1e-4
    kept[0] = True
    return basis[:, kept]


MIN_LOCATIONS = 50


@dataclass(frozen=True)
class ObservedCounts:
    """Counts at locations that have any.

    Attributes
    ----------
    counts
        CSC float32, tested locations × genes of the file; empty columns for genes that are on no panel.
    rows
        Which locations of the file these are, int64 (n,).
    xy_um
        Positions in µm, float64 (n, 2).
    """

    counts: sparse.csc_matrix
    rows: np.ndarray
    xy_um: np.ndarray

    @cached_property
    def totals(self) -> np.ndarray:
        """Total counts of each location, float64 (n,)."""
        return np.asarray(self.counts.sum(axis=1, dtype=np.float64)).ravel()

    @cached_property
    def basis(self) -> np.ndarray:
        """What the depth explains, see `depth_basis`."""
        return depth_basis(self.totals)

    @cached_property
    def scaled(self) -> sparse.csc_matrix:
        """y / √N, CSC float32."""
        scaled = self.counts.copy()
        scaled.data = (scaled.data / np.sqrt(self.totals)[scaled.indices]).astype(np.float32)
        return scaled

    @cached_property
    def gene_totals(self) -> np.ndarray:
        """Total counts of each gene, float64 (G,)."""
        return np.asarray(self.counts.sum(axis=0, dtype=np.float64)).ravel()

    @cached_property
    def gene_locations(self) -> np.ndarray:
        """Locations that hold each gene, int64 (G,)."""
        return np.diff(self.counts.indptr).astype(np.int64)

    @cached_property
    def share(self) -> np.ndarray:
        """Each gene's share of all counts, float64 (G,)."""
        return self.gene_totals / self.totals.sum()

    @cached_property
    def dispersion(self) -> np.ndarray:
        """Negative binomial dispersion α of each gene by moments around a constant share, float64 (G,), at least 0.

        Real patterns enlarge it, which costs a test some power and never its level.
        """
        y, totals = self.counts, self.totals
        columns = np.repeat(np.arange(y.shape[1]), np.diff(y.indptr))
        squares = np.bincount(columns, weights=y.data.astype(np.float64) ** 2, minlength=y.shape[1])
        crossed = np.bincount(columns, weights=y.data * totals[y.indices], minlength=y.shape[1])
        p, second = self.share, float((totals**2).sum())
        around = squares - 2 * p * crossed + p**2 * second  # Σ (y − μ)²
        # A location's own draw is bound to its total: binomial, μ (1 − p).
        excess = around - self.gene_totals * (1 - p)
        return np.maximum(excess / np.maximum(p**2 * second, 1e-300), 0)

    def residuals(self, genes: np.ndarray) -> np.ndarray:
        """(y − μ) / √N with the depth taken out, float64 (n, k)."""
        dense = np.asarray(self.scaled[:, genes].todense(), np.float64)
        return dense - self.basis @ (self.basis.T @ dense)


def read_observed_counts(file: SpatialFile, verb: str) -> ObservedCounts:
    """Read the raw counts of a file.

    Raises
    ------
    BadInputError
        If the file holds no counts, values that are no counts, or too few locations with counts.
    """
    node = file.counts()
    if node is None:
        raise BadInputError(
            f"{file.path} has no layers[{keys.COUNTS!r}]: {verb} tests counts, not estimates",
            hint="name a file written by focus enhance",
        )
    blocks = []
    for _, block in sparse_blocks(node):
        block.eliminate_zeros()
        if block.nnz and not (np.isfinite(block.data).all() and (block.data > 0).all()):
            raise BadInputError(f"the counts of {file.path} hold negative or infinite values")
        if block.nnz and np.abs(block.data - np.rint(block.data)).max() > 1e-3:
            raise BadInputError(
                f"the counts of {file.path} are no whole numbers: {verb} tests counts",
                hint="name a file whose counts are raw",
            )
        blocks.append(block)
    counts = sparse.vstack(blocks, format="csr")
    measured = file.var.get(keys.MEASURED)
    if measured is not None and not measured.to_numpy(bool).all():
        counts = counts @ sparse.diags(measured.to_numpy(np.float32), format="csr")
        counts.eliminate_zeros()
    rows = np.flatnonzero(np.asarray(counts.sum(axis=1)).ravel() > 0)
    if len(rows) < MIN_LOCATIONS:
        raise BadInputError(
            f"{file.path} has {len(rows)} locations with counts; {verb} needs {MIN_LOCATIONS}",
            hint="a file made from an image alone (--histology-only) holds nothing that could be tested",
        )
    return ObservedCounts(sparse.csc_matrix(counts[rows]), rows.astype(np.int64), file.xy_um[rows])


AXES = 12
KEPT = 0.01  # of the first axis' variance


def state_axes(states: np.ndarray, totals: np.ndarray, basis: np.ndarray, most: int = AXES) -> np.ndarray:
    """Leading axes of √N · state with the depth taken out.

    Parameters
    ----------
    states
        float32 (n, K).
    totals, basis
        Counts of each location, and what the depth explains (`depth_basis`).

    Returns
    -------
    numpy.ndarray
        float64 (n, k): orthogonal columns, the longest first, whose squared lengths are their share of the variance.
    """
    scaled = states.astype(np.float64) * np.sqrt(totals)[:, None]
    scaled -= basis @ (basis.T @ scaled)
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    order = np.argsort(values)[::-1][:most]
    order = order[values[order] > KEPT * max(values[order[0]], 1e-300)]
    if not len(order) or values[order[0]] <= 1e-12 * max(float(totals.sum()), 1.0):
        return np.zeros((len(states), 0))
    axes = scaled @ vectors[:, order]
    axes /= np.sqrt(values[order].sum())
    return axes * np.sign(np.sum(axes**3, axis=0) + 1e-300)

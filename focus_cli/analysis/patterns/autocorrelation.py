r"""Spatial autocorrelation of the counts of a gene. A test on counts alone, at three scales.

For location i with :math:`N_i` counts, :math:`e_i = (y_i - \mu_i) / \sqrt{N_i}` with the depth taken out, and a
graph w of pairs within a distance,

.. math:: T = \sum_{i \ne k} w_{ik} e_i e_k .

Where the gene's share is the same everywhere the e are independent with the variance
:math:`v_i = p + \alpha p^2 N_i` (negative binomial) and T has the moments

.. math:: E T = 0,\quad E T^2 = 2 \sum w_{ik}^2 v_i v_k,\quad
          E T^3 = 8\, \mathrm{tr}(VW)^3 + 4 \sum w_{ik}^3 m_i m_k

with the third central moments m, corrected for the projection that takes the depth out. The tail is that of a shifted
gamma with these moments; no permutation is drawn, so nothing depends on a seed. T is Moran's I up to a factor
(Moran 1950); the moments are those of a quadratic form in independent variables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from focus_cli.analysis.significance.counts import ObservedCounts
from focus_cli.analysis.significance.distances import pairs_within, spacing
from focus_cli.analysis.significance.pvalues import upper_tail
from focus_cli.core.progress import task

SCALES = (1.0, 2.5, 5.0)  # of the spacing: direct neighbours, about 20 and about 90 locations
_TRIANGLE_ROWS = 4000
_BLOCK_NNZ = 8_000_000


@dataclass(frozen=True)
class _GraphMoments:
    """What the null moments of a graph need; powers of N stand for those of the variance and of the skewness."""

    pairs: np.ndarray  # 3: Σ w² N_i^a N_k^b for (0,0), (0,1), (1,1)
    skews: np.ndarray  # 3 × 3: Σ w³ s_a s_b with s_a = N^(a − 1/2)
    mean: float  # of T for unit variance: − tr(B'WB)
    shrink: float  # variance with the projection over that without
    third: float  # tr((PW)³)
    mean_total: float


def _moments(graph: sparse.csr_matrix, xy: np.ndarray, totals: np.ndarray, basis: np.ndarray) -> _GraphMoments:
    ones = np.ones(len(totals))
    a, b = graph @ totals, graph @ ones
    pairs = np.array([b.sum(), a.sum(), totals @ a])
    powers = totals[:, None] ** (np.arange(3) - 0.5)
    skews = powers.T @ (graph @ powers)
    wb = graph @ basis
    bwb, bwwb = basis.T @ wb, wb.T @ wb
    square = pairs[0] - 2 * np.trace(bwwb) + np.trace(bwb @ bwb)
    third = _triangles(graph, xy) - 3 * np.trace(wb.T @ (graph @ wb)) + 3 * np.trace(bwwb @ bwb)
    third -= np.trace(np.linalg.matrix_power(bwb, 3))
    return _GraphMoments(
        pairs, skews, -float(np.trace(bwb)), float(square / max(pairs[0], 1e-300)), float(third), float(totals.mean())
    )


def _triangles(graph: sparse.csr_matrix, xy: np.ndarray) -> float:
    """tr(W³); of a large graph from the rows in the middle and at the edge alike, scaled up by the pairs they hold."""
    n = graph.shape[0]
    rows = np.arange(n)
    if n > _TRIANGLE_ROWS:
        # By degree and place, then in steps: the same whatever the order of the locations.
        centre = np.linalg.norm(xy - np.median(xy, axis=0), axis=1).round(3)
        order = np.lexsort((centre, np.diff(graph.indptr)))
        rows = order[np.linspace(0, n - 1, _TRIANGLE_ROWS).astype(int)]
    found = 0.0
    for part in np.array_split(rows, max(1, len(rows) // 500)):
        here = graph[part]
        found += float((here @ graph).multiply(here).sum())
    return found * n / len(rows)


@dataclass(frozen=True)
class Autocorrelation:
    """Result of the test.

    Attributes
    ----------
    moran
        Moran's I of e at the finest scale, float64 (G,); 0 is expected of no pattern.
    p
        float64 (G, scales); NaN where a gene was not tested.
    """

    moran: np.ndarray
    p: np.ndarray


def autocorrelation(observed: ObservedCounts, genes: np.ndarray, scales: tuple[float, ...] = SCALES) -> Autocorrelation:
    """Test some genes (columns of `observed`) at every scale."""
    size = spacing(observed.xy_um)
    p = np.full((len(genes), len(scales)), np.nan)
    moran = np.full(len(genes), np.nan)
    scaled, basis = observed.scaled, observed.basis
    share, alpha = observed.share[genes], observed.dispersion[genes]
    explained = np.asarray(basis.T @ scaled[:, genes]).T  # genes × columns of the basis
    squares = np.asarray(scaled[:, genes].multiply(scaled[:, genes]).sum(axis=0)).ravel() - (explained**2).sum(axis=1)
    with task("neighbouring counts", len(scales)) as running:
        for number, scale in enumerate(scales):
            graph = pairs_within(observed.xy_um, scale * size)
            if graph.nnz:
                moments = _moments(graph, observed.xy_um, observed.totals, basis)
                form = _quadratic(graph, scaled, basis, explained, genes)
                p[:, number] = _tail(form, moments, share, alpha)
                if np.isnan(moran).all():
                    moran = len(observed.totals) / graph.nnz * form / np.maximum(squares, 1e-300)
            running.advance()
    return Autocorrelation(moran, p)


def _quadratic(graph, scaled, basis, explained, genes) -> np.ndarray:
    """e'We of every gene, sparse all the way: the projection is applied to the result, not to the counts."""
    wb = np.asarray(graph @ basis)
    bwb = basis.T @ wb
    out = np.empty(len(genes))
    degree = graph.nnz / graph.shape[0]
    step = max(1, int(_BLOCK_NNZ / max(1.0, min(scaled.nnz / scaled.shape[1] * degree, scaled.shape[0]))))
    graph = graph.tocsc()
    for start in range(0, len(genes), step):
        part = slice(start, start + step)
        y = scaled[:, genes[part]]
        own = np.asarray(y.multiply(graph @ y).sum(axis=0), np.float64).ravel()
        crossed = np.asarray(y.T @ wb)  # genes × columns of the basis
        c = explained[part]
        out[part] = own - 2 * (c * crossed).sum(axis=1) + ((c @ bwb) * c).sum(axis=1)
    return out


def _tail(form: np.ndarray, moments: _GraphMoments, share: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    p, q = share * (1 - share), alpha * share**2  # variance p + q N
    zero, one, two = moments.pairs
    variance = 2 * (p**2 * zero + 2 * p * q * one + q**2 * two) * moments.shrink
    unit = p + q * moments.mean_total
    weights = np.stack([p, 3 * alpha * share**2, 2 * alpha**2 * share**3], axis=1)
    third = 8 * unit**3 * moments.third + 4 * np.einsum("ga,ab,gb->g", weights, moments.skews, weights)
    return upper_tail(form, unit * moments.mean, variance, third)

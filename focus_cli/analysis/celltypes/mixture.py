"""Counts of a location as a mixture of the profiles of cell types.

With f the share of a gene in a type's counts, γ the platform's gain for the gene and w ≥ 0 the counts of a type
at a location, a gene is expected λ_g = γ_g Σ_k w_k f_kg times. Two estimates of w are made, which err differently:

- *quasi-likelihood*: Σ_g (y_g - λ_g)² / V_g with V_g = ½ λ_g + ½ s b_g + φ λ_g², where s is the location's counts
  and b the section's mean profile. The second term is what keeps a marker that happens to be missing from ruling its
  type out: cells of a type differ by more than counting does. Solved by multiplicative steps (Lee & Seung 2001) with V
  renewed, under a weak gamma prior.
- *non-negative least squares* with the constant weights 1 / mean share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import nnls

_DISPERSION = 0.1  # φ, between locations of equal composition
_PRIOR = 0.5  # counts, of an even mixture, spread over all types
_TINY = 1e-12
_BLOCK = 4_000_000  # values of one dense block
_STEPS = 50
_GAIN_ROUNDS = 8
_GAIN_POOLS = 800
_GAIN_SD = (0.02, 1.0)


@dataclass(frozen=True)
class Gains:
    """How much more of each gene the platform sees than the reference did.

    Attributes
    ----------
    factor
        float64 (G,), geometric mean (weighted by counts) 1.
    sd
        Standard deviation of its logarithm over genes, its own error taken out.
    """

    factor: np.ndarray
    sd: float


def no_gains(n_genes: int) -> Gains:
    """Gains of a platform that sees genes as the reference did."""
    return Gains(np.ones(n_genes), 0.0)


def quasi_mixture(
    counts: np.ndarray, share: np.ndarray, start: np.ndarray, background: np.ndarray, steps: int = _STEPS
) -> np.ndarray:
    """Counts of each type by quasi-likelihood.

    Parameters
    ----------
    counts
        float64 (n, G).
    share
        Profiles times gains, float64 (K, G).
    start
        First guess in counts, positive, float64 (n, K).
    background
        Mean profile of the section, sums to 1, float64 (G,).

    Returns
    -------
    float64 (n, K), positive.
    """
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    shape, rate = _PRIOR / len(share), _PRIOR / total
    floor = 0.5 * total * background + 1e-9
    w, types = start, share.T
    expected, weight, spread = (np.empty_like(floor) for _ in range(3))  # reused: they are the cost of a step
    for _ in range(steps):
        np.matmul(w, share, out=expected)
        expected += _TINY
        # 1 / (½ expected + floor + φ expected²)
        np.multiply(expected, 0.5, out=weight)
        weight += floor
        np.square(expected, out=spread)
        spread *= _DISPERSION
        weight += spread
        np.divide(1, weight, out=weight)
        np.multiply(counts, weight, out=spread)
        expected *= weight
        w = (shape + w * (spread @ types)) / (rate + expected @ types)
    return w


def least_squares(counts: sparse.csr_matrix, share: np.ndarray) -> np.ndarray:
    """Counts of each type by non-negative least squares, reduced to types × types by QR; float64 (n, K)."""
    mean = share.mean(axis=0)
    weight = np.divide(1.0, np.sqrt(mean), out=np.zeros_like(mean), where=mean > 0)
    q, r = np.linalg.qr((share * weight).T)
    reduced = counts @ (q * weight[:, None])
    return np.array([nnls(r, row)[0] for row in reduced]).reshape(len(reduced), len(share))


def mixtures(counts: sparse.csr_matrix, share: np.ndarray, gains: Gains) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both estimates of every location, and how far the first is from its counts.

    Returns
    -------
    quasi, squares
        Counts of each type by quasi-likelihood and by least squares, float64 (n, K).
    misfit
        Mean over genes of (counts - expected)² in units of the variance V, float64 (n,).
    """
    scaled = share * gains.factor
    squares = least_squares(counts, scaled)
    background = _background(counts)
    out, misfit = np.empty_like(squares), np.zeros(len(squares))
    rows = max(1, _BLOCK // share.shape[1])
    for first in range(0, counts.shape[0], rows):
        block = counts[first : first + rows].toarray().astype(np.float64)
        total = np.maximum(block.sum(axis=1, keepdims=True), 1.0)
        start = 0.9 * squares[first : first + rows] + 0.1 * total / len(share)
        out[first : first + rows] = w = quasi_mixture(block, scaled, start, background)
        expected = w @ scaled
        variance = 0.5 * expected + 0.5 * total * background + _DISPERSION * expected**2 + _TINY
        misfit[first : first + rows] = ((block - expected) ** 2 / variance).mean(axis=1)
    return out, squares, misfit


def _background(counts: sparse.csr_matrix) -> np.ndarray:
    total = np.asarray(counts.sum(axis=0)).ravel() + 1e-6
    return total / total.sum()


def platform_gains(pools: sparse.csr_matrix, share: np.ndarray) -> Gains:
    """Gains of the platform from pools of neighbouring locations, mixture and gains in turn.

    The gain of a gene is its counts over those that the mixtures expect, drawn towards 1 by how far genes are spread
    (empirical Bayes: variance of the log ratios less their own error).

    Parameters
    ----------
    pools
        Counts of neighbourhoods, CSR (n, G): rich ones, so that their mixtures are nearly right.
    """
    n = pools.shape[0]
    picked = np.unique(np.linspace(0, n - 1, min(n, _GAIN_POOLS)).astype(int))
    counts = pools[picked].toarray().astype(np.float64)
    counts = counts[counts.sum(axis=1) > 0]
    n_genes = share.shape[1]
    if len(counts) < 2:
        return no_gains(n_genes)
    background = _background(pools)
    total = counts.sum(axis=1, keepdims=True)
    w = 0.9 * least_squares(sparse.csr_matrix(counts), share) + 0.1 * total / len(share)
    seen = counts.sum(axis=0)
    log_gain, sd = np.zeros(n_genes), 0.0
    for _ in range(_GAIN_ROUNDS):
        w = quasi_mixture(counts, share * np.exp(log_gain), w, background, steps=15)
        expected = w @ share
        # The error of a gene's sum: Poisson, and the dispersion that pools share.
        error = 1 / np.maximum(seen, 1.0) + _DISPERSION / len(counts)
        ratio = np.log((seen + 0.5) / (expected.sum(axis=0) + 0.5))
        weight = seen / seen.sum()
        ratio -= weight @ ratio
        heard = seen > 5
        spread = np.var(ratio[heard]) - np.mean(error[heard]) if heard.sum() > 2 else 0.0
        sd = float(np.clip(np.sqrt(max(spread, 0.0)), *_GAIN_SD))
        log_gain = ratio * sd**2 / (sd**2 + error)
    return Gains(np.exp(log_gain), sd)


def fractions(amounts: np.ndarray, rna: np.ndarray) -> np.ndarray:
    """Share of cells from counts: each type divided by what a cell of it holds; rows sum to 1, or are even."""
    cells = amounts / rna
    total = cells.sum(axis=1, keepdims=True)
    even = np.full_like(cells, 1 / cells.shape[1])
    return np.divide(cells, total, out=even, where=total > 0)

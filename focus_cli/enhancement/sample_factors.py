"""What varies over this tissue beyond the model's factors: sample-specific co-expression, fitted on what is left.

A model's factors are those of the tissues that it was trained on. A podocyte's genes vary together in no breast, so a
breast model explains them by nothing but each gene's own counts. Here the factors of the *residual*, counts minus
what the network expects of them, are fitted as those of the prior are (`focus_cli.model.priors.covariance`): on the
covariance between two thinned halves of the same locations, and shrunk by how far other locations reproduce them.
Their scores are Gaussian posteriors given the location's own counts and, by a kernel, its neighbours'. Where the
model was trained on the tissue, nothing is found again and nothing is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse

from focus_cli.core.random import stream
from focus_cli.enhancement.infer import Latents
from focus_cli.enhancement.residual import WIDTHS, kernel
from focus_cli.model.priors import (
    REFERENCE_EXPOSURE,
    Covariance,
    SpatialPrior,
    reference_states,
    residual_scale,
    shrinkage,
    top_eigenvectors,
    transfer_loadings,
)

FACTORS = 32
ENTRIES = 30_000_000  # of a dense residual, locations × genes: what bounds the memory (120 MB each)
MIN_LOCATIONS = 50
KEPT = 1e-3  # of the largest factor's variance: what is smaller is left out
ROWS = 2048  # locations at a time

Share = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(rows, genes) → expected shares, dense: estimate of the network at some locations."""


@dataclass(frozen=True)
class SampleFactors:
    """Factors of one sample's residual.

    Attributes
    ----------
    columns
        The panel's genes that carry them, ascending: the most abundant.
    loadings
        float32, panel genes × L: relative deviation per unit of a score; 0 for other genes.
    encoder
        float32, `columns` × L: what turns residual counts into statistics.
    precision
        float32, L: information of `REFERENCE_EXPOSURE` counts about each score, whose prior is N(0, 1).
    width_um
        Of the kernel that lends neighbours' counts.
    """

    columns: np.ndarray
    loadings: np.ndarray
    encoder: np.ndarray
    precision: np.ndarray
    width_um: float = 0.0

    def on_prior(self, prior: SpatialPrior, panel_rows: np.ndarray, reference=None) -> np.ndarray:
        """Loadings of all genes of a prior, float32, G × L: of those outside the panel as the reference gives them."""
        loadings = np.zeros((len(prior.genes), len(self.precision)), np.float32)
        loadings[panel_rows] = self.loadings
        if reference is None:
            return loadings
        panel = np.zeros(len(prior.genes), bool)
        panel[panel_rows] = True
        own = replace(
            prior,
            loadings=loadings,
            reference_loadings=np.zeros_like(loadings),
            measured=panel,
            in_reference=np.zeros(len(panel), bool),
            variance=np.ones(loadings.shape[1], np.float32),
        )
        everything = np.ones(len(panel), bool)
        completed = transfer_loadings(own, reference_states(reference, prior.var), keep_also=everything)
        return np.where(panel[:, None], loadings, completed.reference_loadings)

    def field(self, counts: sparse.csr_matrix, exposure: np.ndarray, share: Share, xy_um: np.ndarray) -> SampleField:
        """Scores over the tissue from counts (CSR, locations × panel) and what the network expects there."""
        counts = _columns(counts, self.columns)
        statistics = np.empty((counts.shape[0], len(self.precision)), np.float32)
        for rows in _blocks(counts.shape[0]):
            expected = exposure[rows, None] * (share(rows, self.columns) @ self.encoder)
            statistics[rows] = counts[rows[0] : rows[-1] + 1] @ self.encoder - expected
        return SampleField(self, xy_um, statistics, (exposure / REFERENCE_EXPOSURE).astype(np.float32))


@dataclass(frozen=True)
class SampleField:
    """Statistics (N × L) and exposures (N, in units of `REFERENCE_EXPOSURE`) of locations at `xy_um`."""

    factors: SampleFactors
    xy_um: np.ndarray
    statistics: np.ndarray
    exposure: np.ndarray

    def at(self, xy_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation of the scores, float32, queries × L."""
        pool = kernel(self.xy_um, xy_um, self.factors.width_um)
        information = 1 + (pool @ self.exposure)[:, None] * self.factors.precision
        return (pool @ self.statistics) / information, (information**-0.5).astype(np.float32)

    def extend(self, latents: Latents, xy_um: np.ndarray, seed: int) -> Latents:
        """The network's latents with these scores behind them."""
        mean, sd = self.at(xy_um)
        samples = latents.samples
        if samples is not None:
            noise = stream(seed, "enhance/draws of sample factors").standard_normal(
                (len(samples), *mean.shape), dtype=np.float32
            )
            samples = np.concatenate([samples, mean + sd * noise], axis=2)
        return replace(
            latents,
            mean=np.concatenate([latents.mean, mean.astype(np.float32)], axis=1),
            sd=np.concatenate([latents.sd, sd], axis=1),
            samples=samples,
            n_sample_factors=mean.shape[1],
        )


def fit_sample_factors(
    halves: tuple[sparse.csr_matrix, sparse.csr_matrix],
    share: Share,
    baseline: np.ndarray,
    seed: int,
) -> SampleFactors | None:
    """Fit the factors of what the network leaves.

    Parameters
    ----------
    halves
        Two thinned halves of the counts, CSR, locations × panel; the network has seen the first.
    share
        What it then expects.
    baseline
        Expected share of each panel gene.

    Returns
    -------
    The factors, without a kernel; None where too little is there to fit, or nothing of it is found again.
    """
    exposures = [np.asarray(h.sum(axis=1), np.float64).ravel() for h in halves]
    n_locations = halves[0].shape[0]
    if n_locations < MIN_LOCATIONS:
        return None
    total = np.asarray((halves[0] + halves[1]).sum(axis=0)).ravel()
    n_genes = min(len(total), ENTRIES // n_locations)
    columns = np.sort(np.argsort(-total, kind="stable")[:n_genes])
    columns = columns[total[columns] > 0]
    p = baseline[columns]
    b = residual_scale(p)
    residuals = [_residual(h, e, share, columns, b) for h, e in zip(halves, exposures)]
    rng = stream(seed, "enhance/sample factors")
    k = min(FACTORS, n_locations // 2, len(columns))
    eigenvalues, vectors = top_eigenvectors(_between(*residuals), len(columns), k, rng)
    shrunk = shrinkage(_of_location_halves(residuals, rng), len(columns), k, rng)
    variance = np.maximum(eigenvalues, 0) * shrunk
    if variance[0] <= 0:
        return None
    kept = variance > KEPT * variance[0]
    v = vectors[:, kept] * np.sqrt(variance[kept])
    precision, basis = np.linalg.eigh(v.T @ v)
    v = v @ basis
    loadings = np.zeros((len(total), v.shape[1]), np.float32)
    loadings[columns] = v / (p * b)[:, None]
    encoder = (v * b[:, None] / REFERENCE_EXPOSURE).astype(np.float32)
    return SampleFactors(columns, loadings, encoder, np.maximum(precision, 0).astype(np.float32))


def choose_width(
    factors: SampleFactors,
    seen: tuple[sparse.csr_matrix, np.ndarray],
    hidden: tuple[sparse.csr_matrix, np.ndarray],
    latent: np.ndarray,
    decode: Callable[[np.ndarray, np.ndarray], np.ndarray],
    share: Share,
    xy_um: np.ndarray,
    pitch_um: float,
) -> SampleFactors | None:
    """The factors with the kernel under which hidden counts are likeliest; None if without them they are likelier.

    Parameters
    ----------
    seen, hidden
        Counts (CSR, locations × panel) and total counts per location; the factors do not depend on the hidden ones.
    latent
        The network's, N × K.
    decode
        (latents N × (K + L), genes) → shares.
    """
    counts, exposure = _columns(hidden[0], factors.columns), hidden[1]
    field = factors.field(*seen, share, xy_um)
    best, best_score = None, _likelihood(counts, exposure, lambda rows: share(rows, factors.columns))
    for width in WIDTHS:
        wide = replace(factors, width_um=width * pitch_um)
        z = np.concatenate([latent, replace(field, factors=wide).at(xy_um)[0]], axis=1).astype(np.float32)
        score = _likelihood(counts, exposure, lambda rows, z=z: decode(z[rows], factors.columns))
        if score > best_score:
            best, best_score = wide, score
    return best


def _columns(counts: sparse.csr_matrix, columns: np.ndarray) -> sparse.csr_matrix:
    return counts if len(columns) == counts.shape[1] else counts[:, columns]


def _blocks(n: int) -> Iterable[np.ndarray]:
    return (np.arange(start, min(start + ROWS, n)) for start in range(0, n, ROWS))


def _residual(counts, exposure: np.ndarray, share: Share, columns: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Standardised residual of each location, locations × `columns`; those with few counts weigh less."""
    counts = _columns(counts, columns)
    weight = np.minimum(np.sqrt(exposure / max(exposure.mean(), 1e-9)), 2.0) / np.maximum(exposure, 1.0)
    result = np.empty((counts.shape[0], len(columns)), np.float32)
    for rows in _blocks(counts.shape[0]):
        left = np.asarray(counts[rows].todense()) - exposure[rows, None] * share(rows, columns)
        result[rows] = left * weight[rows, None] * b
    return result


def _between(first: np.ndarray, second: np.ndarray) -> Covariance:
    """Covariance between two halves as an operator on directions, genes × k."""
    return lambda q: (first.T @ (second @ q) + second.T @ (first @ q)) / (2 * len(first))


def _of_location_halves(residuals, rng: np.random.Generator) -> tuple[Covariance, Covariance]:
    """The covariance between the halves of the counts on each of two random halves of the locations."""
    n = len(residuals[0])
    order = rng.permutation(n)
    return tuple(_between(*(r[rows] for r in residuals)) for rows in (order[: n // 2], order[n // 2 :]))


def _likelihood(counts: sparse.csr_matrix, exposure: np.ndarray, share_of) -> float:
    """Poisson log-likelihood of hidden counts, up to terms that do not depend on the shares."""
    total = 0.0
    for rows in _blocks(counts.shape[0]):
        expected = np.maximum(exposure[rows, None] * share_of(rows), 1e-9)
        here = counts[rows].tocoo()
        total += float(here.data @ np.log(expected[here.row, here.col])) - float(expected.sum(dtype=np.float64))
    return total


def panel_share(decoder, latent: np.ndarray) -> Share:
    """Expected shares of panel genes at rows of `latent`."""
    return lambda rows, genes: decoder.share(latent[rows], torch.from_numpy(genes)).numpy()

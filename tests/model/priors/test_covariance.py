"""Shrinkage of factors: what counts that were not used to fit them reproduce."""

from __future__ import annotations

import numpy as np
import pytest
from model.training.tiny_cohort import PITCH_UM, grow
from scipy import sparse

from focus_cli.model.priors import fit_prior
from focus_cli.model.priors.covariance import TissueCovariance, shrinkage, top_eigenvectors
from focus_cli.model.priors.statistics import residual_scale


def estimate(share, depth, seed=3):
    """The covariance of a Poisson draw of `share` on the tiny tissue, and its number of genes."""
    counts = sparse.csr_matrix(np.random.default_rng(seed).poisson(depth * share).astype(np.float64))
    baseline = np.asarray(counts.sum(axis=0)).ravel() / counts.sum()
    tissue = grow(jitter=12.0)
    nodes = [(counts, tissue.xy_um)]
    return TissueCovariance(nodes, baseline, residual_scale(baseline), np.random.default_rng(0)), share.shape[1]


def shrunk(covariance, n_genes, k):
    return shrinkage(covariance.halves(), n_genes, k, np.random.default_rng(1))


def test_planted_factors_are_kept_and_what_follows_them_is_shrunk():
    share = shrunk(*estimate(grow(jitter=12.0).share, 1500), 8)
    assert (share[:2] > 0.8).all()
    assert (share[2:] < 0.3).all()  # the sum of shares ties the two: a little of a third is real


def test_noise_is_shrunk_however_large_its_eigenvalues():
    tissue = grow(jitter=12.0)
    flat = np.broadcast_to(tissue.share.mean(axis=0), tissue.share.shape)
    covariance, n_genes = estimate(flat, 60)
    eigenvalues, _ = top_eigenvectors(covariance, n_genes, 4, np.random.default_rng(1))
    assert eigenvalues[0] > 0
    assert (shrunk(covariance, n_genes, 4) < 0.15).all()


@pytest.mark.parametrize("depth", [60, 300, 1500])
def test_shares_lie_between_nothing_and_all_and_descend(depth):
    share = shrunk(*estimate(grow(jitter=12.0).share, depth), 10)
    assert ((share >= 0) & (share <= 1)).all() and (np.diff(share) <= 0).all()


def test_more_counts_are_shrunk_less():
    shares = [shrunk(*estimate(grow(jitter=12.0).share, depth), 2).sum() for depth in (20, 100, 1500)]
    assert shares == sorted(shares)


def test_the_variance_of_a_factor_does_not_grow_with_noise():
    """Shallow counts of the same tissue: an eigenvalue that is taken as it is would be several times too large."""
    tissue = grow(jitter=12.0)
    rng = np.random.default_rng(5)
    deep, shallow = (
        fit_prior([(tissue.genes, sparse.csr_matrix(rng.poisson(d * tissue.share) * 1.0), tissue.xy_um, PITCH_UM)], 6)
        for d in (3000, 30)
    )
    assert shallow.variance[0] < 1.2 * deep.variance[0]
    assert shallow.variance[2:].sum() < 0.2 * deep.variance[:2].sum()

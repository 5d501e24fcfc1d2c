"""What the factors leave of a gene: used where it predicts unseen molecules, else left alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from training.tiny_cohort import PITCH_UM, grow

from focus_cli.enhancement.residual import GeneResidual, apply_residual, fit_residual, kernel
from focus_cli.training.views import thin


@pytest.fixture(scope="module")
def private():
    """A section in which one gene has a pattern that the given shares do not know."""
    tissue, rng = grow(side=14), np.random.default_rng(4)
    known = np.broadcast_to(tissue.share.mean(axis=0), tissue.share.shape)
    truth = known.copy()
    inside = np.linalg.norm(tissue.xy_um - 450, axis=1) < 300
    truth[:, 7] *= np.where(inside, 4.0, 0.3)
    counts = sparse.csr_matrix(rng.poisson(3000 * truth).astype(np.float32))
    visible = thin(counts, 0.5, rng)
    return tissue.xy_um, known, visible, (counts - visible).tocsr()


def molecules(counts: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=1)).ravel()


def fit_to(private, genes=slice(None), **more):
    """Fit on some genes of the section; exposures are those of all genes, as in a partial output."""
    xy, known, visible, hidden = private
    return fit_residual(
        visible[:, genes],
        hidden[:, genes],
        (molecules(visible), molecules(hidden)),
        lambda rows, columns: known[:, genes][np.ix_(rows, columns)],
        xy,
        PITCH_UM,
        **more,
    )


def log_likelihood(counts: np.ndarray, rate: np.ndarray) -> float:
    """Poisson, up to a term of the counts alone."""
    return float((counts * np.log(rate) - rate).sum())


def test_a_private_pattern_improves_the_likelihood_of_unseen_molecules(private):
    xy, known, visible, _ = private
    residual = fit_to(private)
    assert np.isfinite(residual.kappa[7])
    # Fresh molecules of the same tissue, which neither the fit nor the update has seen.
    truth = known[:, 7] * np.where(np.linalg.norm(xy - 450, axis=1) < 300, 4.0, 0.3)
    fresh = np.random.default_rng(77).poisson(3000 * truth)
    pool = kernel(xy, xy, residual.width_um)
    exposure = np.asarray(visible.sum(axis=1)).ravel()
    pooled = np.asarray((pool @ visible[:, [7]]).todense())
    expected = pool @ (exposure[:, None] * known[:, [7]])
    updated, shrink = apply_residual(residual, known[:, [7]], pooled, expected, np.array([7]))
    before, after = (log_likelihood(fresh, 3000 * m) for m in (known[:, 7], updated[:, 0]))
    best = log_likelihood(fresh, 3000 * truth)
    assert after > before + 0.5 * (best - before)
    assert ((shrink > 0) & (shrink < 1)).all()


def test_genes_that_the_factors_explain_are_left_alone(private):
    kappa = np.delete(fit_to(private).kappa, 7)
    assert np.median(kappa) == np.inf


def test_an_infinite_kappa_changes_nothing():
    residual = GeneResidual(np.array([np.inf, 2.0]), 50.0)
    mean = np.array([[0.1, 0.2]])
    updated, shrink = apply_residual(residual, mean, np.array([[9.0, 9.0]]), np.array([[1.0, 1.0]]), np.arange(2))
    assert updated[0, 0] == 0.1 and shrink[0, 0] == 1
    assert updated[0, 1] == pytest.approx(0.2 * 11 / 3) and shrink[0, 1] == pytest.approx(2 / 3)


def test_counts_at_their_expectation_change_nothing():
    residual = GeneResidual(np.array([0.5]), 50.0)
    updated, _ = apply_residual(residual, np.array([[0.3]]), np.array([[6.0]]), np.array([[6.0]]), np.array([0]))
    assert updated[0, 0] == pytest.approx(0.3)


def test_the_kernel_is_gaussian_and_one_at_home():
    xy = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 300.0]])
    weight = kernel(xy, xy[:1], 70.0).toarray()[0]
    np.testing.assert_allclose(weight, [1.0, np.exp(-0.5 * (100 / 70) ** 2), 0.0], atol=1e-4)


def test_blocks_of_genes_change_nothing(private):
    whole, parts = fit_to(private), fit_to(private, gene_block=5)
    np.testing.assert_array_equal(parts.kappa, whole.kappa)
    assert parts.width_um == whole.width_um

"""What the factors leave of a gene: used where it predicts unseen molecules, else left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model.training.tiny_cohort import PITCH_UM, grow
from scipy import sparse

from focus_cli.core.statistics.thinning import thin
from focus_cli.enhancement.decode import GeneDecoder, Pooled, ResidualPooler
from focus_cli.enhancement.residual import GeneResidual, apply_residual, fit_residual, kernel


@pytest.fixture(scope="module")
def private():
    """A section in which one gene has a pattern that the given shares do not know."""
    tissue, rng = grow(side=14), np.random.default_rng(4)
    known = np.broadcast_to(tissue.share.mean(axis=0), tissue.share.shape)
    truth = known.copy()
    inside = np.linalg.norm(tissue.xy_um - 450, axis=1) < 300
    truth[:, 7] *= np.where(inside, 4.0, 0.3)
    counts = sparse.csr_matrix(rng.poisson(3000 * truth).astype(np.float32))
    return tissue.xy_um, known, *thin(counts, 0.5, rng)


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
    updated, shrink = apply_residual(residual.kappa[[7]], known[:, [7]], pooled, expected)
    before, after = (log_likelihood(fresh, 3000 * m) for m in (known[:, 7], updated[:, 0]))
    best = log_likelihood(fresh, 3000 * truth)
    assert after > before + 0.5 * (best - before)
    assert ((shrink > 0) & (shrink < 1)).all()


def test_genes_that_the_factors_explain_are_left_alone(private):
    kappa = np.delete(fit_to(private).kappa, 7)
    assert np.median(kappa) == np.inf


def test_own_molecules_move_a_share_as_far_as_kappa_lets_them():
    updated, shrink = apply_residual(np.array([2.0]), np.array([[0.2]]), np.array([[9.0]]), np.array([[1.0]]))
    assert updated[0, 0] == pytest.approx(0.2 * 11 / 3) and shrink[0, 0] == pytest.approx(2 / 3)


def test_counts_at_their_expectation_change_nothing():
    updated, _ = apply_residual(np.array([0.5]), np.array([[0.3]]), np.array([[6.0]]), np.array([[6.0]]))
    assert updated[0, 0] == pytest.approx(0.3)


def around(kappa: np.ndarray, columns: np.ndarray) -> tuple[Pooled, torch.Tensor]:
    """Molecules around 9 locations, and shares of 12 output genes there."""
    rng = np.random.default_rng(3)
    decoder = GeneDecoder(*(torch.from_numpy(rng.random(s, np.float32)) for s in ((12, 4), 12)), *torch.zeros(3, 12))
    latent, xy = rng.normal(size=(9, 4)).astype(np.float32), rng.uniform(0, 200, (9, 2))
    counts = sparse.csr_matrix(rng.poisson(3.0, (9, len(kappa))).astype(np.float32))
    pooler = ResidualPooler(GeneResidual(kappa, 50.0), decoder, counts, np.full(9, 20.0), columns, xy, latent)
    return pooler.around(xy), decoder.share(latent)


def test_genes_of_infinite_kappa_and_genes_outside_the_panel_keep_their_shares():
    pooled, share = around(np.array([2.0, np.inf, 4.0, 1.0]), np.array([1, 2, 6, 7]))
    updated, sd = share.clone(), torch.zeros_like(share)
    pooled.update(updated, sd, slice(0, 12))
    changed = np.flatnonzero((updated != share).any(dim=0).numpy())
    np.testing.assert_array_equal(changed, [1, 6, 7])
    np.testing.assert_array_equal(np.flatnonzero((sd > 0).any(dim=0).numpy()), [1, 6, 7])


@pytest.mark.parametrize("width", [1, 5, 7])
def test_tiles_of_genes_are_updated_as_the_whole(width):
    pooled, share = around(np.array([2.0, np.inf, 4.0, 1.0]), np.array([1, 2, 6, 7]))
    whole, tiled = (share.clone() for _ in range(2))
    pooled.update(whole, torch.zeros_like(share), slice(0, 12))
    for start in range(0, 12, width):
        genes = slice(start, min(start + width, 12))
        pooled.update(tiled[:, genes], torch.zeros_like(share)[:, genes], genes)
    assert torch.equal(tiled, whole)


def test_the_kernel_is_gaussian_and_one_at_home():
    xy = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 300.0]])
    weight = kernel(xy, xy[:1], 70.0).toarray()[0]
    np.testing.assert_allclose(weight, [1.0, np.exp(-0.5 * (100 / 70) ** 2), 0.0], atol=1e-4)


def test_blocks_of_genes_change_nothing(private):
    whole, parts = fit_to(private), fit_to(private, gene_block=5)
    np.testing.assert_array_equal(parts.kappa, whole.kappa)
    assert parts.width_um == whole.width_um

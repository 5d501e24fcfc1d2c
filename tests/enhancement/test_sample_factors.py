"""Sample-specific factors: found where the model does not know the tissue, left out where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from focus_cli.core.statistics.thinning import thin
from focus_cli.enhancement.infer import Latents
from focus_cli.enhancement.sample_factors import choose_width, fit_sample_factors

N, GENES = 400, 300
PITCH = 100.0
XY = PITCH * np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)


def tissue(strength: float, seed: int = 0):
    """Counts around a flat expectation, and the two factors (N × 2) that the expectation knows nothing of."""
    rng = np.random.default_rng(seed)
    baseline = rng.lognormal(0, 1, GENES)
    baseline /= baseline.sum()
    factors = np.stack([np.sin(XY[:, 0] / 300), np.cos(XY[:, 1] / 200)], axis=1)
    factors /= factors.std(axis=0)
    relative = strength * factors @ rng.standard_normal((2, GENES)) / 2**0.5
    rate = baseline * np.maximum(1 + relative, 0.05)
    counts = rng.poisson(1500 * rate / rate.sum(axis=1, keepdims=True)).astype(np.float32)
    return sparse.csr_matrix(counts), baseline, factors


def flat(baseline):
    return lambda rows, genes: np.broadcast_to(baseline[genes], (len(rows), len(genes))).astype(np.float32)


def halves_of(counts):
    halves = tuple(h.tocsr() for h in thin(counts, 0.5, np.random.default_rng(1)))
    return halves, [np.asarray(h.sum(axis=1), np.float64).ravel() for h in halves]


def test_unknown_factors_are_found():
    counts, baseline, truth = tissue(0.6)
    halves, _ = halves_of(counts)
    factors = fit_sample_factors(halves, flat(baseline), baseline, 0)
    field = replace(factors, width_um=0.3 * PITCH).field(
        counts, np.asarray(counts.sum(axis=1), np.float64).ravel(), flat(baseline), XY
    )
    mean, sd = field.at(XY)
    assert mean.shape == sd.shape == (N, len(factors.precision))
    assert (sd <= 1).all()
    for column in truth.T:  # each true factor lies in the span of the scores
        fitted = mean @ np.linalg.lstsq(mean, column, rcond=None)[0]
        assert np.corrcoef(fitted, column)[0, 1] > 0.9


def chosen(strength: float, seed: int):
    """What is kept, after the half that the factors know nothing of was asked."""
    counts, baseline, _ = tissue(strength, seed)
    (seen, hidden), (n_seen, n_hidden) = halves_of(counts)
    quarters, _ = halves_of(seen)
    factors = fit_sample_factors(quarters, flat(baseline), baseline, 0)
    if factors is None:
        return None
    loadings = factors.loadings

    def decode(z, genes):
        return baseline[genes] * np.maximum(1 + z @ loadings[genes].T, 1e-3)

    latent = np.zeros((N, 0), np.float32)
    return choose_width(factors, (seen, n_seen), (hidden, n_hidden), latent, decode, flat(baseline), XY, PITCH)


def test_they_are_kept_where_they_tell_of_hidden_molecules():
    kept = chosen(0.6, 3)
    assert kept is not None
    assert kept.width_um > 0


@pytest.mark.parametrize("seed", range(4))
def test_noise_adds_nothing_that_matters(seed):
    kept = chosen(0.0, seed)
    # What may slip through is too small to be seen: a score moves no share by a hundredth.
    assert kept is None or np.abs(kept.loadings).max() < 0.01


def test_a_place_without_molecules_around_it_has_the_prior():
    counts, baseline, _ = tissue(0.6)
    halves, _ = halves_of(counts)
    factors = replace(fit_sample_factors(halves, flat(baseline), baseline, 0), width_um=0.3 * PITCH)
    field = factors.field(counts, np.full(N, 1500.0), flat(baseline), XY)
    far = np.array([[1e6, 1e6]])
    mean, sd = field.at(far)
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_array_equal(sd, 1)
    samples = np.zeros((3, 1, 5), np.float32)
    extended = field.extend(Latents(np.zeros((1, 5)), np.ones((1, 5)), np.zeros((1, 0)), samples), far, 0)
    assert extended.mean.shape == (1, 5 + len(factors.precision))
    assert extended.samples.shape == (3, 1, 5 + len(factors.precision))


def test_the_same_seed_gives_the_same_factors():
    counts, baseline, _ = tissue(0.6)
    halves, _ = halves_of(counts)
    first, second = (fit_sample_factors(halves, flat(baseline), baseline, 7) for _ in range(2))
    assert first.loadings.tobytes() == second.loadings.tobytes()


def test_too_few_locations_have_no_factors():
    counts, baseline, _ = tissue(0.6)
    halves, _ = halves_of(counts[:20])
    assert fit_sample_factors(halves, flat(baseline), baseline, 0) is None

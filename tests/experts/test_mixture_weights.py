"""Weights of experts by the likelihood of hidden counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focus_cli.experts import weights_by_group
from focus_cli.experts.mixture import FIRST, mixture_weights


def problem(seed: int = 0, true=(0.6, 0.3, 0.1), n: int = 300, genes: int = 60, depth: float = 8.0):
    """Counts whose rate is a known mixture of three fields."""
    rng = np.random.default_rng(seed)
    rates = [depth * rng.gamma(2.0, 0.5, (n, genes)) for _ in true]
    rates = [r * (depth * n * genes / r.sum()) for r in rates]
    mean = sum(w * r for w, r in zip(true, rates))
    return rng.poisson(mean).astype(np.float32), rates


FLAT = np.full(3, 1 / 3)


def test_known_weights_are_recovered():
    counts, rates = problem()
    np.testing.assert_allclose(mixture_weights(counts, rates, FLAT, 0), (0.6, 0.3, 0.1), atol=0.03)


def test_they_maximise_the_likelihood():
    counts, rates = problem(true=(0.5, 0.5, 0.0))

    def likelihood(w) -> float:
        mean = sum(a * r for a, r in zip(w, rates))
        return float((counts * np.log(mean) - mean).sum())

    found = mixture_weights(counts, rates, FLAT, 0)
    rng = np.random.default_rng(1)
    assert all(likelihood(found) >= likelihood(w) - 0.1 for w in rng.dirichlet(np.ones(3), 50))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_weights_lie_on_the_simplex_and_do_not_depend_on_the_level_of_an_expert(seed, factor):
    counts, rates = problem(seed, n=20, genes=5, depth=1.0)
    found = mixture_weights(counts, rates, FLAT, 1.0)
    assert (found >= 0).all() and found.sum() == pytest.approx(1)
    scaled = mixture_weights(counts, [rates[0] * factor, *rates[1:]], FLAT, 1.0)
    np.testing.assert_allclose(scaled, found, atol=1e-3)


def test_without_counts_the_first_expert_is_alone():
    rates = [np.ones((4, 3))] * 3
    np.testing.assert_allclose(weights_by_group(np.zeros((4, 3)), rates, np.zeros(3, int), 2)[:, 0], 1, atol=0.01)


def test_with_few_counts_the_first_expert_keeps_most():
    counts, rates = problem(true=(0.0, 1.0, 0.0), n=6, genes=4, depth=0.5)
    assert counts.sum() < FIRST / 4
    assert weights_by_group(counts, rates, np.zeros(4, int), 1)[0, 0] > 0.5


def test_groups_differ_where_their_counts_say_so():
    one, rates = problem(0, true=(1.0, 0.0, 0.0))
    other, more = problem(1, true=(0.0, 0.0, 1.0))
    counts, rates = np.concatenate([one, other], 1), [np.concatenate(pair, 1) for pair in zip(rates, more)]
    found = weights_by_group(counts, rates, np.repeat([0, 1], one.shape[1]), 2)
    assert found[0, 0] > 0.75 and found[1, 2] > 0.75

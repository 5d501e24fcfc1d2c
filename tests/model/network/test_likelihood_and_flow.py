"""The link, the negative binomial and the flow against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import gammaln
from scipy.stats import nbinom

from focus_cli.model.network.flow import integrate, interpolate
from focus_cli.model.network.likelihood import negative_binomial_nll, share_link


def test_the_link_is_never_negative_and_rises():
    u = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    share = share_link(u)
    assert (share >= 0).all() and (share.diff() > 0).all()


def test_the_link_is_one_at_the_baseline_additive_above_and_exponential_below():
    u = torch.tensor([-2.0, 0.0, 1.5], dtype=torch.float64)
    torch.testing.assert_close(share_link(u), torch.tensor([np.exp(-2.0), 1.0, 2.5], dtype=torch.float64))


def test_the_link_and_its_slope_are_continuous():
    u = torch.tensor([-1e-7, 1e-7], dtype=torch.float64, requires_grad=True)
    share = share_link(u)
    slope = torch.autograd.grad(share.sum(), u)[0]
    torch.testing.assert_close(share[0], share[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(slope, torch.ones(2, dtype=torch.float64), atol=1e-6, rtol=0)


def test_the_link_has_finite_gradients_far_out():
    u = torch.tensor([-1e4, 1e4], requires_grad=True)
    share_link(u).sum().backward()
    assert torch.isfinite(u.grad).all()


@pytest.mark.parametrize("theta", [0.1, 1.0, 25.0])
def test_the_negative_binomial_is_scipys_up_to_terms_in_the_counts(theta):
    counts, mean = np.meshgrid([0.0, 1.0, 7.0, 120.0], [0.01, 0.9, 8.0, 300.0])
    expected = -nbinom.logpmf(counts, theta, theta / (theta + mean)) - gammaln(counts + 1)
    given = negative_binomial_nll(torch.tensor(counts), torch.tensor(mean), torch.tensor(np.log(theta)))
    np.testing.assert_allclose(given.numpy(), expected, rtol=1e-6, atol=1e-8)


def test_the_mean_that_the_counts_have_is_the_most_likely_one():
    counts = torch.tensor([3.0, 0.0, 5.0, 8.0], dtype=torch.float64)
    mean = torch.linspace(0.5, 12, 1000, dtype=torch.float64)
    nll = negative_binomial_nll(counts[:, None], mean[None], torch.tensor(1.0, dtype=torch.float64)).sum(dim=0)
    assert float(mean[nll.argmin()]) == pytest.approx(float(counts.mean()), abs=0.02)


@pytest.mark.parametrize("steps", [1, 2, 5, 11])
def test_a_perfect_prediction_leads_to_the_target(steps):
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(6, 3, generator=generator) for _ in range(2))
    torch.testing.assert_close(integrate(lambda z, t: target, source, steps), target, atol=1e-5, rtol=1e-5)


def test_the_flow_stays_on_the_straight_path():
    source, target = torch.zeros(1, 2), torch.tensor([[4.0, -2.0]])
    seen = []

    def predict(z, t):
        seen.append((float(t[0]), z.clone()))
        return target

    integrate(predict, source, 4)
    assert [t for t, _ in seen] == [0.0, 0.25, 0.5, 0.75]
    for t, z in seen:
        torch.testing.assert_close(z, interpolate(source, target, torch.full((1,), t)))


def test_one_step_is_the_prediction_at_the_start():
    source = torch.randn(4, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(integrate(lambda z, t: 3 * z + 1, source, 1), 3 * source + 1)

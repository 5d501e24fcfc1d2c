"""From latents to layers: definitions, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from focus_cli.core.errors import BadInputError
from focus_cli.core.statistics.lognorm import LogNormReading
from focus_cli.enhancement.decode import GeneDecoder, expression_layers
from focus_cli.model.network.likelihood import share_link


@pytest.fixture
def decoder():
    loadings = torch.tensor([[0.5, 0.0], [-0.3, 0.8], [0.0, 0.0]])
    return GeneDecoder(loadings, torch.tensor([0.2, 0.01, 0.001]), *(torch.zeros(3) for _ in range(3)))


LATENT = np.array([[0.0, 0.0], [1.0, -1.0], [-2.0, 0.5]], np.float32)


def test_shares_are_the_link_of_the_latent_times_the_baseline(decoder):
    expected = share_link(torch.from_numpy(LATENT) @ decoder.loadings.T).numpy() * [0.2, 0.01, 0.001]
    np.testing.assert_allclose(decoder.share(LATENT).numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(decoder.share(LATENT, np.array([2, 0])).numpy(), expected[:, [2, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("part", "value"), [*((p, v) for p in ("loadings", "baseline") for v in (np.nan, np.inf)), ("baseline", 3e38)]
)
def test_weights_that_give_no_finite_shares_are_refused(decoder, part, value):
    broken = replace(decoder, **{part: torch.full_like(getattr(decoder, part), value)})
    with pytest.raises(BadInputError, match="not finite"):
        broken.share(LATENT)
    with pytest.raises(BadInputError, match="not finite"):
        broken.share_and_sd(LATENT, LATENT**2)


def test_small_spreads_match_draws(decoder):
    sd = np.full_like(LATENT, 0.02)
    share, spread = decoder.share_and_sd(LATENT, sd)
    rng = np.random.default_rng(0)
    draws = np.stack([decoder.share(LATENT + sd * rng.standard_normal(LATENT.shape, np.float32)) for _ in range(4000)])
    np.testing.assert_allclose(spread.numpy()[1:, :2], draws.std(axis=0)[1:, :2], rtol=0.06)
    assert (spread[:, 2] == 0).all()  # a gene without a vector is as certain as its baseline
    np.testing.assert_allclose(share.numpy(), decoder.share(LATENT).numpy())


def test_an_uncertain_vector_makes_what_lies_far_from_the_mean_uncertain(decoder):
    borrowed = replace(decoder, loading_sd=torch.tensor([0.0, 0.1, 0.1]))
    share, spread = borrowed.share_and_sd(LATENT, np.zeros_like(LATENT))
    assert (spread[:, 0] == 0).all()
    # A gene without a mean vector sits where the link's slope is one.
    expected = 0.1 * np.linalg.norm(LATENT, axis=1) * 0.001
    np.testing.assert_allclose(spread[:, 2].numpy(), expected, rtol=1e-5, atol=1e-12)
    np.testing.assert_array_equal(share.numpy(), decoder.share(LATENT).numpy())


def test_layers_follow_their_definitions():
    """At great depth; at less of it every layer is read the same way (see test_lognorm)."""
    share, sd = torch.tensor([[1e-3, 2e-5]]), torch.tensor([[1e-4, 1e-5]])
    wanted = ("mean_counts", "std", "q05", "q95", "expression")
    layers = expression_layers(share, sd, LogNormReading(np.array([1e9])), wanted)
    np.testing.assert_allclose(layers["X"], np.log1p([[10.0, 0.2]]), rtol=1e-3)
    np.testing.assert_allclose(layers["expression"], np.log1p([[10.0, 0.2]]), rtol=1e-6)
    np.testing.assert_allclose(layers["mean_counts"], [[1e6, 2e4]], rtol=1e-5)
    np.testing.assert_allclose(layers["std"], [[1 / 11, 0.1 / 1.2]], rtol=0.03)
    # A log-normal of mean 10 and sd 1.
    variance = np.log1p(0.01)
    centre = np.log(10) - variance / 2
    for name, z in (("q05", -1.644854), ("q95", 1.644854)):
        assert layers[name][0, 0] == pytest.approx(np.log1p(np.exp(centre + z * np.sqrt(variance))), rel=1e-3)


def test_x_is_the_mean_of_what_the_counts_read():
    rng = np.random.default_rng(2)
    share, depth = 3e-4, 500.0
    counts = rng.poisson(share * depth, (100_000, 1))
    x = expression_layers(torch.full((1, 1), share), torch.zeros(1, 1), LogNormReading(np.array([depth])), ())["X"]
    assert float(x) == pytest.approx(np.log1p(1e4 * counts / depth).mean(), rel=0.02)


def test_only_what_is_wanted_is_made():
    share, reading = torch.full((2, 3), 1e-4), LogNormReading(np.array([100.0, 0.0]))
    assert set(expression_layers(share, share / 10, reading, ())) == {"X"}
    assert set(expression_layers(share, share / 10, reading, ("q95",))) == {"X", "q95"}


@pytest.mark.parametrize("depth", [0.0, 200.0])
def test_a_gene_without_spread_has_equal_quantiles(depth):
    share = torch.tensor([[3e-4]])
    layers = expression_layers(share, 0 * share, LogNormReading(np.array([depth])), ("q05", "q95", "std"))
    assert layers["std"] == 0
    np.testing.assert_allclose([layers["q05"], layers["q95"]], [layers["X"], layers["X"]], rtol=1e-5)


def test_an_unknown_level_blurs_by_a_factor_and_leaves_the_estimate():
    share, sd, reading = torch.tensor([[3e-3, 3e-3]]), torch.zeros(1, 2), LogNormReading(np.array([1e9]))
    known, blurred = (
        expression_layers(share, sd, reading, ("std", "q05", "q95"), level)
        for level in (torch.zeros(2), torch.tensor([0.0, 0.5]))
    )
    assert torch.equal(known["X"], blurred["X"])
    assert blurred["std"][0, 0] == 0 and blurred["std"][0, 1] == pytest.approx(0.5 * 30 / 31, rel=0.03)
    for name, z in (("q05", -1.644854), ("q95", 1.644854)):
        assert blurred[name][0, 1] == pytest.approx(np.log1p(30 * np.exp(z * 0.5)), rel=2e-3)

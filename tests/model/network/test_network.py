"""The network: what it may depend on, and what it must not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from focus_cli.core.device import to_device
from focus_cli.model.network import PRESETS, FocusNet, ModelConfig, Nodes, Query

K, F, S, M, C, D = 4, 3, 5, 6, 7, 5
N_NODES = (30, 30, 12, 6, 2)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def net():
    """A network whose every weight is at work: those that start at zero are moved."""
    torch.manual_seed(0)
    made = FocusNet(ModelConfig(width=16, layers=2, n_features=F, n_factors=K)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return made


@pytest.fixture
def query():
    basis = torch.linalg.qr(randn(K, K, seed=1))[0]
    nodes = Nodes(
        statistics=[randn(n, K, seed=10 + s) for s, n in enumerate(N_NODES)],
        exposure=[randn(n, seed=20 + s).abs() for s, n in enumerate(N_NODES)],
        features=[randn(n, F, seed=30 + s) for s, n in enumerate(N_NODES)],
        basis=basis,
        precision=randn(K, seed=2).abs(),
        has_image=True,
    )
    return make_query(nodes, 9)


def make_query(nodes, q):
    generator = torch.Generator().manual_seed(5)
    index = torch.stack([torch.randint(0, n, (q, M), generator=generator) for n in N_NODES])
    return Query(
        features=randn(q, F, seed=3),
        node_index=index,
        node_weight=torch.rand(S, q, M, generator=generator),
        nodes=nodes,
        states=randn(C, K, seed=4),
        descriptors=randn(q, D, seed=6),
        labels=torch.zeros(q, 0),
    )


def part(query, rows):
    return replace(
        query,
        features=query.features[rows],
        node_index=query.node_index[:, rows],
        node_weight=query.node_weight[:, rows],
        descriptors=query.descriptors[rows],
        labels=query.labels[rows],
    )


def without_molecules(query):
    nodes = replace(
        query.nodes,
        statistics=[0 * t for t in query.nodes.statistics],
        exposure=[0 * e for e in query.nodes.exposure],
    )
    return replace(query, nodes=nodes)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_is_built_and_takes_a_step(preset, query):
    """The same code at every size; on the meta device shapes are all that is computed."""
    labels = ("organ:a", "species:b")
    update = {"n_features": F, "n_factors": K, "labels": labels}
    with torch.device("meta"):
        made = FocusNet(PRESETS[preset].model_copy(update=update))
    counts = {"nano": (5e4, 1e6), "base": (2e7, 2e8), "large": (2e8, 2e9)}[preset]
    assert counts[0] < sum(p.numel() for p in made.parameters()) < counts[1]
    before = [p.shape for p in made.parameters()]
    optimiser = torch.optim.AdamW((p for p in made.parameters() if p.requires_grad), lr=1e-3, foreach=False)
    loss = (
        made.posterior_mean(made.condition(to_device(replace(query, labels=torch.zeros(9, 2)), "meta"))).square().mean()
    )
    loss.backward()
    optimiser.step()
    assert loss.device.type == "meta" and [p.shape for p in made.parameters()] == before
    assert made.image_linear.weight.grad is not None and made.label_vectors.grad is not None


def test_nano_takes_a_step(query):
    torch.manual_seed(0)
    made = FocusNet(PRESETS["nano"].model_copy(update={"n_features": F, "n_factors": K})).train()
    optimiser = torch.optim.SGD(made.parameters(), lr=0.05)
    target, losses = randn(9, K, seed=8), []
    for _ in range(5):
        loss = ((made.posterior_mean(made.condition(query)) - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_sizes_are_checked():
    with pytest.raises(ValidationError):
        ModelConfig(width=2)
    with pytest.raises(ValidationError):
        ModelConfig(widht=64)


def test_shapes(net, query):
    condition = net.condition(query)
    assert condition.mean.shape == condition.log_variance.shape == (9, K)
    assert condition.attention.shape == (9, C)
    assert net.predict(randn(9, K), torch.rand(9), condition).shape == (9, K)


@torch.no_grad()
def test_a_query_does_not_depend_on_its_batch(net, query):
    whole = net.condition(query)
    z, t = randn(9, K, seed=7), torch.linspace(0, 0.9, 9)
    predicted = net.predict(z, t, whole)
    for rows in ([0], [3, 4, 8], [8, 1]):
        alone = net.condition(part(query, rows))
        torch.testing.assert_close(alone.mean, whole.mean[rows], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.log_variance, whole.log_variance[rows], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(net.predict(z[rows], t[rows], alone), predicted[rows], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_residuals_computed_once_serve_every_query(net, query):
    given = net.condition(query, net.residuals(query.nodes))
    torch.testing.assert_close(given.mean, net.condition(query).mean)


@torch.no_grad()
def test_the_order_of_cell_states_does_not_matter(net, query):
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    plain, shuffled = net.condition(query), net.condition(replace(query, states=query.states[order]))
    torch.testing.assert_close(net.posterior_mean(shuffled), net.posterior_mean(plain), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shuffled.attention, plain.attention[:, order], atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_the_order_of_neighbours_does_not_matter(net, query):
    order = torch.tensor([5, 2, 0, 3, 1, 4])
    shuffled = replace(query, node_index=query.node_index[:, :, order], node_weight=query.node_weight[:, :, order])
    torch.testing.assert_close(net.condition(shuffled).mean, net.condition(query).mean, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_cell_states_are_attended_to_and_may_be_none(net, query):
    some, none = net.condition(query), net.condition(replace(query, states=query.states[:0]))
    assert (some.attention >= 0).all() and (some.attention.sum(dim=1) < 1).all()  # the null takes the rest
    assert none.attention.shape == (9, 0)
    assert (net.posterior_mean(some) - net.posterior_mean(none)).abs().max() > 1e-3


@torch.no_grad()
def test_without_molecules_the_field_is_what_the_image_says(net, query):
    blind = without_molecules(query)
    # Nodes without molecules have nothing to leave unexplained.
    assert all((r == 0).all() for r in net.residuals(blind.nodes))
    torch.testing.assert_close(net.condition(blind).mean, net.image_latent(query.features))


@torch.no_grad()
def test_without_image_and_molecules_the_field_is_zero(net, query):
    blind = without_molecules(query)
    blind = replace(blind, nodes=replace(blind.nodes, has_image=False))
    assert (net.condition(blind).mean == 0).all()


@torch.no_grad()
def test_a_hidden_image_cannot_be_seen(net, query):
    hidden = replace(query, nodes=replace(query.nodes, has_image=False))
    other_nodes = replace(hidden.nodes, features=[f + 3 for f in hidden.nodes.features])
    other = replace(hidden, features=query.features - 2, nodes=other_nodes)
    torch.testing.assert_close(
        net.posterior_mean(net.condition(other)), net.posterior_mean(net.condition(hidden)), atol=0, rtol=0
    )


@torch.no_grad()
def test_nodes_beyond_the_kernel_cannot_be_seen(net, query):
    far = query.node_weight.clone()
    far[:, :, -1] = 0
    reached = replace(query, node_weight=far)
    elsewhere = replace(reached, node_index=query.node_index.clone())
    elsewhere.node_index[:, :, -1] = 0
    torch.testing.assert_close(net.condition(elsewhere).mean, net.condition(reached).mean, atol=0, rtol=0)


@torch.no_grad()
def test_more_molecules_pull_the_field_to_what_they_say():
    """An untrained network is kriging: with one node at distance 0 it is the ridge estimate t / (1 + E D)."""
    made = FocusNet(ModelConfig(width=16, layers=1, n_features=0, n_factors=K, n_scales=1)).eval()
    truth, precision = torch.tensor([[1.0, -0.5, 2.0, 0.3]]), torch.tensor([4.0, 2.0, 1.0, 0.5])
    for exposure in (0.1, 1.0, 1000.0):
        nodes = Nodes(
            statistics=[exposure * precision * truth],
            exposure=[torch.tensor([exposure])],
            features=[torch.zeros(1, 0)],
            basis=torch.eye(K),
            precision=precision,
            has_image=False,
        )
        here = Query(
            features=torch.zeros(1, 0),
            node_index=torch.zeros(1, 1, 1, dtype=torch.int64),
            node_weight=torch.ones(1, 1, 1),
            nodes=nodes,
            states=torch.zeros(0, K),
            descriptors=torch.zeros(1, D),
            labels=torch.zeros(1, 0),
        )
        expected = truth * exposure * precision / (1 + exposure * precision)
        torch.testing.assert_close(made.condition(here).mean, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_at_the_end_of_the_path_an_untrained_network_keeps_the_point(query):
    torch.manual_seed(0)
    made = FocusNet(ModelConfig(width=16, layers=1, n_features=F, n_factors=K)).eval()
    condition, z = made.condition(query), randn(9, K, seed=7)
    torch.testing.assert_close(made.predict(z, torch.ones(9), condition), z, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made.predict(z, torch.zeros(9), condition), condition.mean, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_gene_parameters_belong_to_the_gene_not_to_its_place(net):
    loadings, baseline = randn(11, K, seed=9), randn(11, seed=10) - 9
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    plain = net.gene_parameters(loadings, baseline)
    shuffled = net.gene_parameters(loadings[order], baseline[order])
    for a, b in zip(plain, shuffled):
        torch.testing.assert_close(b, a[order], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_gene_without_a_vector_gets_none(net):
    corrected, log_theta, platform = net.gene_parameters(torch.zeros(2, K), torch.tensor([-9.0, -12.0]))
    assert corrected.abs().max() < 1e-5
    assert torch.isfinite(log_theta).all() and torch.isfinite(platform).all()


@torch.no_grad()
def test_labels_reach_the_estimate_and_a_sample_without_any_is_one_more_condition(query):
    torch.manual_seed(0)
    made = FocusNet(ModelConfig(width=16, layers=1, n_features=F, n_factors=K, labels=("organ:a", "organ:b"))).eval()
    for parameter in made.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    none, first, second = (
        made.posterior_mean(made.condition(replace(query, labels=torch.tensor([codes]).expand(9, -1))))
        for codes in ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0])
    )
    assert not torch.allclose(none, first) and not torch.allclose(first, second)

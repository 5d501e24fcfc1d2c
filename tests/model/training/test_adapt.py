"""Adapting: the sample is explained better, genes keep their vectors, and the model given is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from model.training.reading import loss_on_fixed_views
from model.training.tiny_cohort import grow, store_tissue
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import open_sample
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.training import adapt, load_model


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A section whose genes follow the factors the other way round."""
    tissue = grow(seed=21)
    turned = tissue.counts[::-1]
    path = store_tissue(tmp_path_factory.mktemp("other") / "S2", tissue, sample_id="S2", counts=turned)
    return load_sample_data(open_sample(path))


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.net.state_dict().items()}


def test_the_sample_is_explained_better_and_the_model_given_is_left_alone(model, other):
    given = load_model(model)
    before = weights(given)
    adapted = adapt(given, other, 60, seed=1)
    assert loss_on_fixed_views(other, adapted) < loss_on_fixed_views(other, given) - 0.02
    assert all(torch.equal(value, before[name]) for name, value in given.net.state_dict().items())
    np.testing.assert_array_equal(adapted.prior.loadings, given.prior.loadings)
    assert "adapted" in adapted.info and "adapted" not in given.info


def test_same_seed_same_weights(model, other):
    first, second, third = (weights(adapt(load_model(model), other, 4, seed=s)) for s in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_a_section_without_molecules_is_refused(model, other):
    empty = replace(other, counts=sparse.csr_matrix(other.counts.shape, dtype=np.float32))
    with pytest.raises(BadInputError, match="too few to adapt"):
        adapt(load_model(model), empty, 3)

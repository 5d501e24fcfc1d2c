"""Pooling: nothing is lost on the way to coarser nodes, and a query's cost does not grow with the section."""

from __future__ import annotations

import numpy as np
import pytest
from model.training.tiny_cohort import PITCH_UM, grow

from focus_cli.model.priors import build_pooling
from focus_cli.model.priors.field import NEIGHBOURS, SCALES


@pytest.fixture(scope="module")
def tissue():
    return grow(jitter=10.0)


def test_totals_are_conserved_at_every_scale(tissue):
    values = np.random.default_rng(0).poisson(3, (len(tissue.xy_um), 4)).astype(np.float32)
    for level in build_pooling(tissue.xy_um, PITCH_UM).levels:
        total = level.total(values)
        assert total.shape == (level.n_nodes, 4)
        np.testing.assert_array_equal(total.sum(axis=0), values.sum(axis=0))


def test_nodes_lie_at_the_centroid_of_their_members(tissue):
    for level in build_pooling(tissue.xy_um, PITCH_UM).levels:
        for node in range(0, level.n_nodes, 7):
            np.testing.assert_allclose(level.xy[node], tissue.xy_um[level.member == node].mean(axis=0))


def test_coarser_scales_have_fewer_nodes():
    xy = np.stack(np.meshgrid(np.arange(40.0), np.arange(40.0)), axis=-1).reshape(-1, 2) * PITCH_UM
    nodes = [level.n_nodes for level in build_pooling(xy, PITCH_UM).levels]
    assert nodes == [1600, 1600, 400, 100, 25]  # locations, then cells as wide as the kernel


def test_neighbours_are_the_nearest_nodes_with_gaussian_weights(tissue):
    pooling = build_pooling(tissue.xy_um, PITCH_UM)
    queries = np.array([[333.0, 410.0], [5.0, 5.0]])
    index, weight = pooling.neighbours(queries)
    assert index.shape == weight.shape == (len(SCALES), 2, NEIGHBOURS)
    for s, level in enumerate(pooling.levels):
        distance = np.linalg.norm(queries[:, None] - level.xy[None], axis=2)
        k = min(NEIGHBOURS, level.n_nodes)
        expected = np.exp(-0.5 * (np.sort(distance, axis=1)[:, :k] / (SCALES[s] * PITCH_UM)) ** 2)
        np.testing.assert_allclose(weight[s, :, :k], expected, rtol=1e-5, atol=1e-12)
        assert (weight[s, :, k:] == 0).all()


@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
def test_no_neighbour_is_preferred_to_another_at_the_same_distance(lattice):
    """On a regular array neighbours come in rings; a ring is taken whole or not at all."""
    column, row = (a.ravel() for a in np.meshgrid(np.arange(15.0), np.arange(15.0)))
    if lattice == "hexagonal":
        column, row = column + 0.5 * (row % 2), row * np.sqrt(3) / 2
    xy = PITCH_UM * np.stack([column, row], axis=1)
    centre = xy[[7 * 15 + 7]]
    index, _ = build_pooling(xy, PITCH_UM).neighbours(centre)
    distance = np.linalg.norm(xy - centre, axis=1)
    taken = np.zeros(len(xy), bool)
    taken[index[1, 0]] = True  # the scale of one pitch, whose nodes are the locations
    assert distance[taken].max() < distance[~taken].min() - 1e-6


def test_a_query_sees_as_many_nodes_in_a_large_section_as_in_a_small_one(tissue):
    large = grow(side=24)
    shapes = {build_pooling(t.xy_um, PITCH_UM).neighbours(t.xy_um[:3])[0].shape for t in (tissue, large)}
    assert len(shapes) == 1


def test_moving_the_section_changes_nothing(tissue):
    queries = tissue.xy_um[:20] + 13.0
    plain = build_pooling(tissue.xy_um, PITCH_UM).neighbours(queries)
    shift = np.array([4096.0, -512.0])
    moved = build_pooling(tissue.xy_um + shift, PITCH_UM).neighbours(queries + shift)
    np.testing.assert_array_equal(moved[0], plain[0])
    np.testing.assert_allclose(moved[1], plain[1], rtol=1e-4)


def test_a_single_location_is_a_section():
    index, weight = build_pooling(np.array([[10.0, 20.0]]), PITCH_UM).neighbours(np.array([[10.0, 20.0]]))
    assert (index == 0).all()
    np.testing.assert_array_equal(weight[:, 0, 0], 1)
    np.testing.assert_array_equal(weight[:, 0, 1:], 0)

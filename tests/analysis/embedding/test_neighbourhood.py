"""Neighbourhoods are means under Gaussian kernels in µm, whatever the order, the angle and the density of locations."""

import numpy as np
import pytest

from focus_cli.analysis.embedding.neighbourhood import kernel_means, neighbourhoods, slide_vector


def exact(xy, values, width, weight):
    square = ((xy[:, None] - xy[None]) ** 2).sum(axis=2)
    kernel = np.where(square <= (3 * width) ** 2, np.exp(-square / (2 * width**2)), 0) * weight
    return kernel @ values / kernel.sum(axis=1, keepdims=True)


@pytest.fixture
def spots():
    rng = np.random.default_rng(0)
    xy = np.stack(np.meshgrid(np.arange(12.0), np.arange(10.0)), axis=2).reshape(-1, 2) * 100
    return xy, rng.normal(size=(len(xy), 5)).astype(np.float32), np.ones(len(xy))


def test_spots_are_weighed_exactly(spots):
    xy, values, weight = spots
    weight[:20] = 0
    np.testing.assert_allclose(kernel_means(xy, values, 120.0, weight), exact(xy, values, 120.0, weight), atol=1e-5)


def test_a_constant_stays_and_a_lonely_location_keeps_its_own(spots):
    xy, _, weight = spots
    np.testing.assert_allclose(kernel_means(xy, np.ones((len(xy), 2), np.float32), 75, weight), 1, atol=1e-6)
    far = np.array([[0.0, 0], [9000.0, 0]])
    values = np.array([[1.0], [2.0]], np.float32)
    assert kernel_means(far, values, 75, np.array([1.0, 0.0])).ravel().tolist() == [1.0, 2.0]


def test_many_small_bins_agree_with_the_exact_kernel():
    rng = np.random.default_rng(1)
    xy = np.stack(np.meshgrid(np.arange(45.0), np.arange(45.0)), axis=2).reshape(-1, 2) * 8
    smooth = np.stack([np.sin(xy[:, 0] / 90), np.cos(xy[:, 1] / 70)], axis=1)
    values = (smooth + rng.normal(size=smooth.shape)).astype(np.float32)
    made, truth = kernel_means(xy, values, 60, np.ones(len(xy))), exact(xy, values, 60, np.ones(len(xy)))
    assert np.abs(made - truth).max() < 0.02 * np.ptp(truth)
    assert min(np.corrcoef(made[:, i], truth[:, i])[0, 1] for i in range(2)) > 0.9995


def test_order_chunks_and_angle_do_not_matter(spots, monkeypatch):
    xy, values, weight = spots
    made = neighbourhoods(xy, values, weight)
    assert made.shape == (len(xy), 10) and made.dtype == np.float32
    order = np.random.default_rng(2).permutation(len(xy))
    assert np.array_equal(neighbourhoods(xy[order], values[order], weight[order]), made[order])
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    np.testing.assert_allclose(neighbourhoods(xy @ turn.T + 500, values, weight), made, atol=1e-5)
    monkeypatch.setattr("focus_cli.analysis.embedding.neighbourhood._ROWS", 7)
    np.testing.assert_allclose(neighbourhoods(xy, values, weight), made, atol=1e-6)


def test_a_section_is_described_by_what_lies_on_tissue(spots):
    xy, values, weight = spots
    around = neighbourhoods(xy, values, weight)
    whole = slide_vector(values, around, weight)
    assert whole.shape == (5 + 5 + 10,)
    np.testing.assert_allclose(whole[:5], values.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(whole[5:10], values.std(axis=0), atol=1e-6)
    weight[60:] = 0
    np.testing.assert_allclose(slide_vector(values, around, weight)[:5], values[:60].mean(axis=0), atol=1e-6)

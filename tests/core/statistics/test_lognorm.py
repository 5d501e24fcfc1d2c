"""What measurements of a given depth read on average: against the sum over a Poisson."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import poisson

from focus_cli.core.statistics.lognorm import LogNormReading


def by_sum(share: float, depth: float) -> float:
    """Mean of log1p CP10k of a Poisson count, summed over all counts that may occur."""
    count = np.arange(int(poisson.isf(1e-15, share * depth)) + 10)
    return float(poisson.pmf(count, share * depth) @ np.log1p(1e4 * count / depth))


def read(share, depth) -> np.ndarray:
    return LogNormReading(np.asarray(depth, float))(torch.tensor(np.asarray(share), dtype=torch.float32)).numpy()


@pytest.mark.parametrize("depth", [1.0, 40.0, 700.0, 5000.0, 80_000.0])
def test_it_is_the_sum_over_a_poisson(depth):
    share = np.array([0.0, 1e-7, 1e-5, 3e-4, 2e-3, 0.02, 0.3, 1.0])
    np.testing.assert_allclose(read(share[None], [depth])[0], [by_sum(s, depth) for s in share], atol=1e-3, rtol=1e-3)


def test_the_mean_of_measurements_is_what_it_says():
    rng, share, depth = np.random.default_rng(0), 4e-4, 900.0
    counts = rng.poisson(share * depth, 200_000)
    np.testing.assert_allclose(read([[share]], [depth]), np.log1p(1e4 * counts / depth).mean(), rtol=0.01)


def test_rare_genes_read_higher_the_deeper_the_measurement():
    depth = np.array([50.0, 200.0, 1000.0, 5000.0, 20_000.0])
    share = np.array([1e-6, 1e-5, 1e-4, 5e-4])
    found = read(np.tile(share, (5, 1)), depth)
    assert (np.diff(found, axis=0) > 0).all()
    assert (found < np.log1p(1e4 * share)).all()  # a concave function of what scatters
    assert (np.diff(found, axis=1) > 0).all()  # and more of a gene always reads as more


def test_great_depth_reads_the_share_itself_and_so_does_an_unknown_one():
    share = np.array([[1e-4, 2e-3], [1e-4, 2e-3]])
    found = read(share, [1e9, 0.0])
    np.testing.assert_allclose(found[0], np.log1p(1e4 * share[0]), rtol=1e-3)
    np.testing.assert_allclose(found[1], np.log1p(1e4 * share[1]), rtol=1e-6)


def test_locations_are_read_each_at_its_own_depth():
    depth = np.array([30.0, 4000.0, 200.0])
    share = np.random.default_rng(1).gamma(0.5, 1e-3, (3, 7))
    together = read(share, depth)
    for row in range(3):
        np.testing.assert_allclose(together[row], read(share[row : row + 1], depth[row : row + 1])[0], atol=1e-6)


@pytest.mark.parametrize("depth", [0.0, 60.0, 3000.0])
def test_the_slope_is_the_derivative(depth):
    reading = LogNormReading(np.array([depth]))
    share = torch.tensor([[2e-5, 3e-4, 5e-3, 0.1]])
    value, slope = reading.with_slope(share)
    assert torch.equal(value, reading(share))
    step = share * 0.2
    difference = (reading(share + step) - reading(share - step)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=0.06)


@pytest.mark.parametrize("depths", [[100.0, 5e3, 20.0], [100.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
def test_arrays_and_tensors_are_read_alike(depths):
    share = np.random.default_rng(0).random((3, 40)).astype(np.float32) ** 3
    reading = LogNormReading(np.array(depths))
    arrays = (reading(share), *reading.with_slope(share))
    tensors = (reading(torch.from_numpy(share)), *reading.with_slope(torch.from_numpy(share)))
    for array, tensor in zip(arrays, tensors, strict=True):
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, tensor.numpy(), rtol=3e-6, atol=1e-6)

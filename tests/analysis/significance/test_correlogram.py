"""Two fields that have nothing to do with each other, and how far they agree by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from focus_cli.analysis.significance.distances import chance_variance, correlation_tail, distance_classes


def smooth_fields(n_fields: int, width: float, seed: int, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Places on a grid, and standardised fields on them."""
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.standard_normal((side, side)), width).ravel() for _ in range(n_fields)]
    values = np.stack(fields, axis=1)
    row, column = np.mgrid[:side, :side].reshape(2, -1)
    return np.column_stack([column, row]).astype(float), (values - values.mean(axis=0)) / values.std(axis=0)


def tails(xy: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    classes = distance_classes(xy, np.arange(len(xy)).astype(str), 1.0)
    variance = chance_variance(classes, classes.autocovariance(first), classes.autocovariance(second))
    return correlation_tail((first * second).sum(axis=0), np.full(first.shape[1], float(len(xy))), variance)[1]


@pytest.mark.parametrize("width", [0.5, 3.0])
def test_unrelated_fields_agree_as_often_as_stated(width: float) -> None:
    xy, values = smooth_fields(600, width, seed=0)
    p = tails(xy, values[:, :300], values[:, 300:])
    assert 0.02 < (p < 0.05).mean() < 0.08
    # Locations taken for exchangeable, smooth fields would be found alike far more often.
    z = (values[:, :300] * values[:, 300:]).sum(axis=0) / np.sqrt(len(xy))
    if width == 3.0:
        assert (z > 1.645).mean() > 0.3


def test_a_field_agrees_with_itself() -> None:
    xy, values = smooth_fields(2, 2.0, seed=1)
    assert tails(xy, values[:, :1], values[:, :1] + 0.5 * values[:, 1:])[0] < 1e-4


def test_classes_hold_all_pairs_of_a_small_section() -> None:
    xy, values = smooth_fields(1, 1.0, seed=2, side=15)
    classes = distance_classes(xy, np.arange(len(xy)).astype(str), 1.0)
    assert classes.weight.sum() == pytest.approx(len(xy) ** 2)
    found = classes.autocovariance(values)
    assert found[0] == pytest.approx(1)
    direct = [
        values[i] @ values[j] for i in range(len(xy)) for j in range(len(xy)) if 0 < np.hypot(*(xy[i] - xy[j])) <= 1.001
    ]
    assert found[1] == pytest.approx(np.mean(direct))


def test_a_large_section_is_looked_at_in_part() -> None:
    xy, values = smooth_fields(3, 2.0, seed=3, side=70)
    names = np.arange(len(xy)).astype(str)
    classes = distance_classes(xy, names, 1.0)
    assert len(classes.members[0]) == 2000
    assert classes.weight.sum() == pytest.approx(len(xy) ** 2, rel=0.05)
    # Its neighbours are those of all locations, edges included.
    assert classes.weight[1] == pytest.approx(4 * 70 * 69, rel=0.02)
    order = np.random.default_rng(0).permutation(len(xy))
    again = distance_classes(xy[order] @ np.array([[0.0, -1.0], [1.0, 0.0]]), names[order], 1.0)
    assert again.weight == pytest.approx(classes.weight)
    assert again.autocovariance(values[order]) == pytest.approx(classes.autocovariance(values))

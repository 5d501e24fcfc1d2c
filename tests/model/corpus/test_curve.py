"""The order in which locations lie on disk: neighbours on the curve are neighbours in the tissue."""

from __future__ import annotations

import numpy as np
import pytest

from focus_cli.core.storage.runs import runs
from focus_cli.model.corpus import curve
from focus_cli.model.corpus.curve import hilbert_order


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_the_curve_goes_from_neighbour_to_neighbour_through_every_cell(bits, monkeypatch):
    monkeypatch.setattr(curve, "_BITS", bits)
    side = 2**bits
    xy = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    xy = xy[np.random.default_rng(0).permutation(len(xy))] * 7.0 + 3
    order = hilbert_order(xy)
    assert sorted(order) == list(range(len(xy)))
    np.testing.assert_allclose(np.abs(np.diff(xy[order], axis=0)).sum(axis=1), 7)


def test_a_window_is_a_few_runs_where_rows_of_the_array_are_many():
    grid = np.stack(np.meshgrid(np.arange(200), np.arange(200)), axis=-1).reshape(-1, 2).astype(float)
    starts = np.arange(len(grid) + 1)

    def read(places: np.ndarray) -> int:
        near = np.flatnonzero(np.linalg.norm(places - [83, 120], axis=1) < 18)  # about a thousand of 40,000
        return len(list(runs(near, starts, gap=30)))

    assert read(grid[hilbert_order(grid)]) < 0.5 * read(grid)


def test_places_that_coincide_keep_their_order():
    assert hilbert_order(np.zeros((5, 2))).tolist() == [0, 1, 2, 3, 4]

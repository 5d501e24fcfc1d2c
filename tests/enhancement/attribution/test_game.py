"""Shapley values of four signals on games whose answer is known."""

import numpy as np

from focus_cli.enhancement.attribution.game import COALITIONS, PRIOR, SIGNALS, Coalition, joining, shapley


def values(game) -> np.ndarray:
    return np.array([[game({s for s in SIGNALS if getattr(c, s)})] for c in COALITIONS], float)


def test_coalitions_are_all_sixteen_and_know_their_row():
    assert len(set(COALITIONS)) == 16
    assert [c.index for c in COALITIONS] == list(range(16))
    assert COALITIONS[0] == Coalition(0, 0, 0, 0) and COALITIONS[-1] == Coalition(1, 1, 1, 1)


def test_in_an_additive_game_each_signal_gets_what_it_adds():
    worth = dict(zip(SIGNALS, (1.0, -2.0, 0.5, 3.0)))
    parts = shapley(values(lambda there: 7.0 + sum(worth[s] for s in there)))
    assert parts[PRIOR].item() == 7.0
    np.testing.assert_allclose([parts[s].item() for s in SIGNALS], list(worth.values()))


def test_what_two_signals_do_together_is_shared_and_a_bystander_gets_nothing():
    parts = shapley(values(lambda there: 4.0 if {"image", "reference"} <= there else 0.0))
    assert [parts[s].item() for s in SIGNALS] == [2.0, 2.0, 0.0, 0.0]


def test_parts_sum_to_the_whole_of_any_game():
    game = np.random.default_rng(0).normal(size=(16, 5, 3))
    parts = shapley(game)
    np.testing.assert_allclose(sum(parts.values()), game[-1], atol=1e-14)


def test_the_weights_of_joining_are_those_of_random_orders():
    for signal in SIGNALS:
        weights = [weight for _, weight in joining(signal)]
        assert len(weights) == 8 and np.isclose(sum(weights), 1)
        assert max(weights) == 0.25

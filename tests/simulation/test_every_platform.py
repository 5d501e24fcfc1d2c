"""What is read can be simulated, and the other way round."""

from focus_cli.core.platform_names import PLATFORMS, STATED
from focus_cli.simulation.arrays import PLATFORMS as SIMULATED


def test_readers_and_simulated_layouts_are_the_same():
    assert sorted(set(PLATFORMS) - set(STATED)) == sorted(SIMULATED)

"""The fifth mask: fine bins are shown as coarse spots, and asked for as bins.

It teaches what lies between spots from sections that resolve it, for those that do not.
"""

from __future__ import annotations

import numpy as np

from focus_cli.core.statistics.pseudospots import assign_spots, hexagonal_grid
from focus_cli.core.storage import Footprint

SPOT = Footprint("circle", 55.0, 100.0)  # Visium's
SPOTS = 200  # in a window
WINDOW_MAX = 65_536  # bins
FINE = 0.5  # a location at most this share of a spot's diameter is a bin


def is_fine(footprint: Footprint) -> bool:
    """Whether spots can be laid over locations of this footprint."""
    return footprint.size_um <= FINE * SPOT.size_um


def window_size(footprint: Footprint) -> int:
    """Bins that hold about `SPOTS` spots."""
    area = SPOT.pitch_um**2 * np.sqrt(3) / 2
    return min(int(SPOTS * area / footprint.pitch_um**2), WINDOW_MAX)


def lay_spots(xy_um: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lay a grid of spots over bins, turned and shifted at random.

    Returns
    -------
    spot
        Spot of each bin, −1 between the spots; int (n,).
    centres
        Of the spots that hold a bin, µm, float64 (m, 2).
    """
    angle = rng.uniform(0, np.pi / 3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = xy_um @ turn
    centres = hexagonal_grid(turned, SPOT.pitch_um)[0] + rng.uniform(-0.5, 0.5, 2) * SPOT.pitch_um
    spot = assign_spots(turned, centres, SPOT.size_um)
    used = np.unique(spot[spot >= 0])
    place = np.full(len(centres), -1)
    place[used] = np.arange(len(used))
    return np.where(spot >= 0, place[spot], -1), centres[used] @ turn.T

"""How far locations lie apart, where a file does not state it."""

from __future__ import annotations

import numpy as np


def location_pitch(xy: np.ndarray) -> float:
    """Median distance to the nearest other location, in the unit of `xy`; 1 for a single location."""
    from scipy.spatial import cKDTree

    if len(xy) < 2:
        return 1.0
    some = xy[:: max(1, len(xy) // 5000)]
    distance = cKDTree(xy).query(some, k=2)[0][:, 1]
    distance = distance[distance > 0]
    return float(np.median(distance)) if len(distance) else 1.0

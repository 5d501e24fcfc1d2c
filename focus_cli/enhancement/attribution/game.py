"""Signals as players of a game: the share of each in a value that all of them make together.

The Shapley value (Shapley 1953; Lundberg & Lee 2017, arXiv:1705.07874) of a signal is what it adds to the value when it
joins the others, averaged over all orders of joining. With four signals all sixteen sets are evaluated, none sampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import factorial

import numpy as np

SIGNALS = ("image", "reference", "own", "neighbours")
PRIOR = "prior"  # what is said when no signal is there
PARTS = (*SIGNALS, PRIOR)


@dataclass(frozen=True)
class Coalition:
    """Which signals are there; each 0 or 1, or in between on the way from one to the other."""

    image: float = 1.0
    reference: float = 1.0
    own: float = 1.0
    neighbours: float = 1.0

    @property
    def index(self) -> int:
        """Row of this set of signals in `COALITIONS`."""
        return sum(int(getattr(self, name)) << bit for bit, name in enumerate(SIGNALS))


COALITIONS = tuple(
    Coalition(**dict(zip(SIGNALS, present))) for present in sorted(product((0, 1), repeat=4), key=lambda p: p[::-1])
)


def joining(signal: str) -> list[tuple[Coalition, float]]:
    """Sets without `signal` and the weight of what it adds to each; the weights sum to 1."""
    n = len(SIGNALS)
    found = []
    for coalition in COALITIONS:
        if getattr(coalition, signal):
            continue
        size = int(sum(getattr(coalition, name) for name in SIGNALS))
        found.append((coalition, factorial(size) * factorial(n - size - 1) / factorial(n)))
    return found


def shapley(values: np.ndarray) -> dict[str, np.ndarray]:
    """Parts of the value of all signals together.

    Parameters
    ----------
    values
        Sixteen sets (in the order of `COALITIONS`) × anything, float64.

    Returns
    -------
    One array per signal, and the prior: the value of no signal. Together they sum to ``values[-1]``.
    """
    values = np.asarray(values, np.float64)
    parts = {}
    for bit, signal in enumerate(SIGNALS):
        added = [weight * (values[c.index | (1 << bit)] - values[c.index]) for c, weight in joining(signal)]
        parts[signal] = np.sum(added, axis=0)
    return parts | {PRIOR: values[0]}

"""Named streams of random numbers: one for each purpose, so that a change in one leaves the others as they were.

A stream is identified by the seed of the user, the number registered for its name, and further numbers (a step, a
location block) where one purpose needs many independent streams. The numbers are part of the output: changing one
changes what the same seed gives. Streams of the simulator are in `focus_cli.simulation.streams`.
"""

from __future__ import annotations

import numpy as np

# "stage/purpose" → number; None: the parts alone distinguish the streams of this purpose.
STREAMS: dict[str, int | None] = {
    "prior/sections": 10,
    "train/views": 1,
    "train/steps": 2,
    "train/ood reference": 8,
    "train/image map": 9,
    "enhance/draws": 3,
    "enhance/halves": 4,
    "enhance/count queries": 5,
    "enhance/held-out positions": 6,
    "enhance/position queries": 7,
    "enhance/held-out genes": 8,
    "enhance/gene queries": 9,
    "enhance/draws of sample factors": 10,
    "enhance/sample factors": 11,
    "enhance/quarters": 12,
    "enhance/hidden halves": 13,
    "enhance/ablation of neighbourhoods": None,
    "enhance/ablation of the image": 6,
    "enhance/ablation of the reference": 7,
    "experts/components": 1,
    "celltypes/calibration": 7,
    "domains/landmarks": 1,
    "domains/halves": 2,
    "patterns/hidden genes": 71,
    "patterns/correlogram": 73,
    "patterns/niches": 79,
    "outcome/bags": None,
    "outcome/permutations": 1,
    "outcome/ood support": 2,
    "evaluate/pairs": 8,
    "evaluate/coverage": 9,
    "evaluate/crps": 10,
    "pretrain/open slides": 1,
    "pretrain/tiles": 2,
    "pretrain/views": 3,
    "pretrain/depth": 4,
}

# Names of one stage that share a number. An ablation replaces inputs before hold-outs are drawn: the two draw from
# populations of other sizes or for runs that are never compared, and both numbers are part of published results.
SHARED = {
    frozenset({"enhance/held-out positions", "enhance/ablation of the image"}),
    frozenset({"enhance/position queries", "enhance/ablation of the reference"}),
}


def stream(seed: int, name: str, *parts: int) -> np.random.Generator:
    """Return the generator of one purpose.

    Parameters
    ----------
    seed
        Seed of the user.
    name
        A key of `STREAMS`.
    parts
        Further numbers, not negative, that identify the stream among those of the same name.

    Raises
    ------
    KeyError
        If the name is not registered.
    """
    number = STREAMS[name]
    words = parts if number is None else (number, *parts)
    return np.random.default_rng([int(seed), *(int(word) for word in words)])

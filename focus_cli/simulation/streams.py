"""Random streams: one for each purpose, so that a change in one part leaves the others as they were."""

from __future__ import annotations

from zlib import crc32

import numpy as np


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the generator of one purpose of a study.

    The tissue of a seed is therefore the same on every platform, and section 2 is the same whether or not
    there is a section 3.

    Parameters
    ----------
    seed
        Seed of the study.
    purpose
        Words and numbers that name the use, for instance ``("cells", 1)``.
    """
    words = [crc32(part.encode()) if isinstance(part, str) else int(part) for part in purpose]
    return np.random.default_rng([int(seed), *words])

"""Binomial thinning: two independent parts of the same counts."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def thin(
    counts: sparse.csr_matrix, fraction: float, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Split every count into a part that is kept and the rest.

    Each count of one goes to the first part with probability `fraction`, so under Poisson counts the two parts
    are independent given the expression (Neufeld et al. 2023, arXiv 2301.07276).

    Parameters
    ----------
    counts
        Counts, CSR (n, G).
    fraction
        Probability of the first part, between 0 and 1.
    rng
        Source of randomness.

    Returns
    -------
    The two parts, CSR float32 (n, G), without stored zeros; their sum is `counts`.
    """
    counts = sparse.csr_matrix(counts)
    whole = np.rint(counts.data).astype(np.int64)
    kept = rng.binomial(whole, fraction)
    parts = []
    for values in (kept, whole - kept):
        part = sparse.csr_matrix(
            (values.astype(np.float32), counts.indices.copy(), counts.indptr.copy()), shape=counts.shape
        )
        part.eliminate_zeros()
        parts.append(part)
    return parts[0], parts[1]

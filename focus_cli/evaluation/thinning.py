"""Binomial thinning: two independent views of the same molecules."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from focus_cli.evaluation.normalise import row_sums


def thin(
    counts: sparse.csr_matrix, fraction: float, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Split every count into a part that is kept and the rest.

    Each molecule goes to the first part with probability `fraction`, so under Poisson counts the two parts
    are independent given the expression (Neufeld et al. 2023, arXiv 2301.07276).

    Parameters
    ----------
    counts
        Whole numbers of molecules, CSR (n, G).
    fraction
        Probability of the first part, between 0 and 1.
    rng
        Source of randomness.

    Returns
    -------
    The two parts, CSR float32 (n, G), without stored zeros; their sum is `counts`.
    """
    counts = sparse.csr_matrix(counts)
    molecules = np.rint(counts.data).astype(np.int64)
    kept = rng.binomial(molecules, fraction)
    parts = []
    for values in (kept, molecules - kept):
        part = sparse.csr_matrix(
            (values.astype(np.float32), counts.indices.copy(), counts.indptr.copy()), shape=counts.shape
        )
        part.eliminate_zeros()
        parts.append(part)
    return parts[0], parts[1]


def thin_with_exposure(
    counts: sparse.csr_matrix, exposure: np.ndarray, rng: np.random.Generator, *, inside: bool
) -> tuple[tuple[sparse.csr_matrix, np.ndarray], tuple[sparse.csr_matrix, np.ndarray]]:
    """Halve counts of some genes together with the exposure of their locations.

    Parameters
    ----------
    counts
        Molecules of the genes of interest, CSR (n, G).
    exposure
        Molecules that each location is divided by, (n,).
    rng
        Source of randomness.
    inside
        True if the exposure counts these genes too: its molecules are thinned with theirs, the molecules of
        all other genes as one lump. False if it comes from other genes, which are not hidden: halved exactly.

    Returns
    -------
    ``(counts, exposure)`` of either half.
    """
    first, second = thin(counts, 0.5, rng)
    if not inside:
        return (first, exposure / 2), (second, exposure / 2)
    others = np.maximum(np.rint(exposure - row_sums(counts)), 0).astype(np.int64)
    lump = rng.binomial(others, 0.5)
    return (first, row_sums(first) + lump), (second, row_sums(second) + others - lump)

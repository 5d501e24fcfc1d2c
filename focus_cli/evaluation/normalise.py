"""The scale of all comparisons: log1p of counts per ten thousand, kept sparse as long as possible."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError

_CHUNK_BYTES = 16 << 20


def log1p_cp10k(counts: sparse.spmatrix, exposure: np.ndarray) -> sparse.csr_matrix:
    """Bring raw counts to log1p of counts per 10,000.

    Parameters
    ----------
    counts
        Counts, (n, G), sparse.
    exposure
        Total counts that each location is divided by, (n,). Where genes are held out this is the total over
        the measured genes alone. A location without exposure gives a row of zeros.

    Returns
    -------
    CSR float32 (n, G); zero stays zero.
    """
    exposure = np.asarray(exposure, dtype=np.float64)
    scale = np.divide(keys.TARGET_SUM, exposure, out=np.zeros_like(exposure), where=exposure > 0)
    counts = sparse.csr_matrix(counts)
    values = counts.data * np.repeat(scale, np.diff(counts.indptr))
    data = np.log1p(values).astype(np.float32)
    return sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)


def row_sums(matrix: sparse.spmatrix) -> np.ndarray:
    """Sum of each row as float64 (n,)."""
    return np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()


def dense_columns(matrix: sparse.spmatrix | np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Some columns of a sparse (best CSC) or dense matrix as a dense float32 array (n, len(columns))."""
    block = matrix[:, columns]
    return np.ascontiguousarray(block.toarray() if sparse.issparse(block) else block, dtype=np.float32)


def column_chunks(n_rows: int, n_columns: int, limit: int = _CHUNK_BYTES) -> Iterator[np.ndarray]:
    """Indices of columns in runs whose dense float32 block stays below `limit` bytes."""
    width = max(1, int(limit // (4 * max(1, n_rows))))
    for start in range(0, n_columns, width):
        yield np.arange(start, min(start + width, n_columns))


def check_counts(counts: sparse.spmatrix, where: str) -> None:
    """Refuse values that cannot be counts.

    Raises
    ------
    BadInputError
        If a value is negative, not finite or not a whole number.
    """
    data = counts.data
    if not np.isfinite(data).all() or (data < 0).any() or (data != np.rint(data)).any():
        raise BadInputError(
            f"{where} does not hold raw counts: values must be whole and not negative",
            hint="hold-outs require whole counts; give the raw counts, not normalised values",
        )

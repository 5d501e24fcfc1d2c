"""Sparse matrices that are used again and again; memory holds a bounded part, the rest lies in a scratch file.

The file is mapped, so that its pages are memory that the system takes back when it needs it. It has no name, and is
gone with the process.
"""

from __future__ import annotations

import mmap
import tempfile

import numpy as np
from scipy import sparse

MEMORY_BYTES = 2**31  # that are kept in memory
_SEGMENT = 2**28  # bytes that the file grows by


class MatrixCache:
    """Keeps matrices; what is read back has the same bytes wherever it lies.

    Parameters
    ----------
    memory_bytes
        Kept in memory before the file is begun. It lies in ``$TMPDIR``.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._free, self._segment, self._used = memory_bytes, None, 0

    def keep(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """The same matrix, kept in memory or in the scratch file."""
        arrays = (matrix.data, matrix.indices, matrix.indptr)
        needed = sum(a.nbytes for a in arrays)
        if needed <= self._free:
            self._free -= needed
            return matrix
        # Indices stay of one type, or scipy would copy them into memory.
        return sparse.csr_matrix(tuple(self._put(a) for a in arrays), shape=matrix.shape, copy=False)

    def _put(self, array: np.ndarray) -> np.ndarray:
        start = -(-self._used // 8) * 8
        if self._segment is None or start + array.nbytes > len(self._segment):
            with tempfile.TemporaryFile(prefix="focus-") as file:
                file.truncate(max(_SEGMENT, array.nbytes, 1))
                self._segment = mmap.mmap(file.fileno(), 0)
            start = 0
        kept = np.frombuffer(self._segment, array.dtype, array.size, start)
        kept[:] = array
        self._used = start + array.nbytes
        return kept

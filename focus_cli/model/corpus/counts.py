"""Counts on disk with the interface of a sparse matrix: rows and sums."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.runs import runs
from focus_cli.model.corpus.shards import ShardArray, ShardWriter

GAP = 2**15  # values between two wanted rows that are read along
_INTEGERS = (np.uint8, np.uint16, np.uint32)
_BLOCK = 2**24  # values that are put in order at a time


class StoredCounts:
    """Counts of a sample, its rows stored along the Hilbert curve.

    Parameters
    ----------
    arrays
        ``place`` (of every row on the curve), ``ends`` (where each stored row ends), ``columns``, ``values``,
        ``row_totals`` and ``column_totals``.
    n_columns
        Genes of the panel.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """

    def __init__(self, arrays: dict[str, ShardArray], n_columns: int) -> None:
        self._place, ends = arrays["place"].all(), arrays["ends"].all()
        self._starts = np.concatenate([[0], ends]).astype(np.int64)
        self._columns, self._values = arrays["columns"], arrays["values"]
        self._totals = arrays["column_totals"].all(), arrays["row_totals"].all()
        self.shape = (len(self._place), n_columns)
        n = len(self._place)
        stored = math.prod(self._columns.shape)
        if not np.array_equal(np.sort(self._place), np.arange(n)):
            raise ValueError("the places of its rows are no order")
        if (np.diff(self._starts) < 0).any() or self._starts[-1] != stored or self._values.shape != (stored,):
            raise ValueError("the ends of its rows do not fit the counts")

    @property
    def nnz(self) -> int:
        """Stored counts."""
        return int(self._starts[-1])

    @property
    def nbytes(self) -> int:
        """What is in memory of them."""
        return self._place.nbytes + self._starts.nbytes + sum(total.nbytes for total in self._totals)

    def sum(self, axis: int) -> np.ndarray:
        """Sums over the rows (axis 0) or the columns (axis 1), float32, as the matrix in memory has them."""
        return self._totals[axis]

    def __getitem__(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Rows by number or by a mask, CSR float32 in the order requested."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        wanted = self._place[rows].astype(np.int64)
        if not len(wanted):
            return sparse.csr_matrix((0, self.shape[1]), dtype=np.float32)
        bounds = list(runs(np.unique(wanted), self._starts, GAP))
        starts = self._starts
        size = sum(int(starts[last] - starts[first]) for first, last in bounds)
        columns, values = np.empty(size, self._columns.dtype), np.empty(size, self._values.dtype)
        done, at, ends = 0, np.empty(len(wanted), np.int64), [np.zeros(1, np.int64)]
        n_rows = 0
        for first, last in bounds:
            begin, end = int(starts[first]), int(starts[last])
            self._columns.read_into(columns[done : done + end - begin], begin)
            self._values.read_into(values[done : done + end - begin], begin)
            here = (wanted >= first) & (wanted < last)
            at[here] = wanted[here] - first + n_rows
            ends.append(starts[first + 1 : last + 1] - begin + done)
            done, n_rows = done + end - begin, n_rows + last - first
        if len(columns) and int(columns.max()) >= self.shape[1]:
            raise BadInputError(
                f"a count of the corpus is of gene {int(columns.max())} of {self.shape[1]}",
                hint="focus corpus --verify finds all damage",
            )
        read = sparse.csr_matrix(
            (values.astype(np.float32), columns.astype(np.int32), np.concatenate(ends)), shape=(n_rows, self.shape[1])
        )
        return read if len(at) == n_rows and (at == np.arange(n_rows)).all() else read[at]


def store_counts(writer: ShardWriter, counts: sparse.csr_matrix, order: np.ndarray) -> None:
    """Write counts with their rows in `order`; the order within a row stays."""
    n = counts.shape[0]
    place = np.empty(n, np.uint32)
    place[order] = np.arange(n, dtype=np.uint32)
    writer.add("place", place)
    writer.add("ends", np.cumsum(np.diff(counts.indptr)[order], dtype=np.int64))
    # As float32 sums them over the whole matrix: the model is the same as from the matrix itself.
    writer.add("column_totals", np.asarray(counts.sum(axis=0), np.float32).ravel())
    writer.add("row_totals", np.asarray(counts.sum(axis=1), np.float32).ravel())
    narrow = np.uint16 if counts.shape[1] <= 2**16 else np.uint32
    writer.add_parts("columns", narrow, (counts.nnz,), (part.indices for part in _blocks(counts, order)))
    writer.add_parts("values", _exact(counts.data), (counts.nnz,), (part.data for part in _blocks(counts, order)))


def _blocks(counts: sparse.csr_matrix, order: np.ndarray) -> Iterator[sparse.csr_matrix]:
    """The rows in order, some at a time."""
    step = max(1, _BLOCK * len(order) // max(counts.nnz, 1))
    return (counts[order[start : start + step]] for start in range(0, len(order), step))


def _exact(values: np.ndarray) -> type:
    """The narrowest type that holds these values as they are."""
    if not len(values) or (values.min() >= 0 and (values == np.rint(values)).all()):
        most = values.max(initial=0)
        return next((t for t in _INTEGERS if most <= np.iinfo(t).max and most < 2**24), np.float32)
    return np.float32

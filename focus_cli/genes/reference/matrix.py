"""The expression matrix of an .h5ad file, read a block at a time: sparse by rows, sparse by columns, or dense."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import h5py
import numpy as np
from scipy import sparse

from focus_cli.core.scales import BASES, CellFacts, undo_log
from focus_cli.core.storage.runs import runs

BLOCK = 2**23  # values that are in memory at a time
_ROUNDING = 1e-4  # a value this near to a whole number is one
_LARGEST_EXPONENT = 60.0  # larger values are no logarithms
_LARGEST_WHOLE = 2.0**53
_GAP = 2**16  # values between two wanted rows that are read along

Adder = Callable[[np.ufunc, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class Survey:
    """What one pass over a matrix finds.

    Attributes
    ----------
    n_values
        Stored values; of a dense matrix, those that are not zero.
    finite
        Whether all are.
    least
        The smallest; 0 where there is none.
    filled
        Which cells have a value above 0.
    cells
        What each cell holds; meaningless where a value is not finite or below 0.
    """

    n_values: int
    finite: bool
    least: float
    filled: np.ndarray
    cells: CellFacts


@dataclass(frozen=True)
class GeneFacts:
    """What a pass over a matrix of cells × genes finds in each gene.

    Attributes
    ----------
    n_cells
        Cells of the matrix.
    filled
        int64 (genes,): cells whose value is not zero.
    most
        float64 (genes,): the largest value.
    sd
        float64 (genes,): standard deviation over all cells, zeros included.
    """

    n_cells: int
    filled: np.ndarray
    most: np.ndarray
    sd: np.ndarray


class MatrixOnDisk:
    """A matrix of cells × genes in an open file; nothing of it is kept.

    Parameters
    ----------
    node
        Group of a sparse matrix or dataset of a dense one, as anndata writes them.

    Raises
    ------
    KeyError, ValueError
        If it is neither.
    """

    def __init__(self, node: h5py.Group | h5py.Dataset) -> None:
        self._node = node
        if isinstance(node, h5py.Dataset):
            self.kind, self.shape = "dense", node.shape
            if len(node.shape) != 2:
                raise ValueError(f"{node.name} has {len(node.shape)} dimensions")
            self._starts = np.arange(node.shape[0] + 1, dtype=np.int64) * node.shape[1]
            return
        encoding = str(node.attrs["encoding-type"])
        if encoding not in ("csr_matrix", "csc_matrix"):
            raise ValueError(f"{node.name} is a {encoding}")
        self.kind, self.shape = encoding[:3], tuple(int(n) for n in node.attrs["shape"])
        self._starts = node["indptr"][:].astype(np.int64)

    def survey(self, *, powers: bool = False) -> Survey:
        """Look at every value.

        Parameters
        ----------
        powers
            Whether to undo logarithms of whole numbers too. A matrix that lies by genes may hold a fraction of a cell
            after whole numbers of it were passed, and is passed again then.
        """
        n, finite, least, passed = 0, True, np.inf, False
        cells, divisor = CellFacts.empty(self.shape[0]), 0
        for values, add in self._values():
            n += len(values)
            divisor = _divisor(values, divisor)
            finite &= bool(np.isfinite(values).all())
            least = min(least, float(values.min(initial=np.inf)))
            passed |= not _count(values, add, cells, powers)
        if self.kind == "csc" and passed and cells.n_fractions.any():
            return self.survey(powers=True)
        return Survey(n, finite, least if n else 0.0, cells.most > 0, replace(cells, divisor=divisor))

    def spread(self) -> GeneFacts:
        """Look at every value again, by genes."""
        n_genes = self.shape[1]
        filled, most, sums = np.zeros(n_genes, np.int64), np.zeros(n_genes), np.zeros((2, n_genes))
        for genes, values in self._by_genes():
            filled += np.bincount(genes[values != 0], minlength=n_genes)
            np.maximum.at(most, genes, values)
            for power in (0, 1):
                sums[power] += np.bincount(genes, values ** (power + 1), minlength=n_genes)
        n = self.shape[0]
        variance = (sums[1] - sums[0] ** 2 / n) / max(n - 1, 1)
        return GeneFacts(n, filled, most, np.sqrt(np.maximum(variance, 0)))

    def head(self, n: int) -> sparse.csr_matrix:
        """The first `n` cells, CSR float32."""
        return self.take(np.arange(min(n, self.shape[0])))

    def filled(self, columns: np.ndarray) -> np.ndarray:
        """Which cells have a value above 0 in any of these genes (boolean over genes); boolean over cells."""
        found = np.zeros(self.shape[0], bool)
        if self.kind == "csc":
            for first, last in self._pieces():
                above = (self._node["data"][first:last] > 0) & columns[self._genes(first, last)]
                found[self._node["indices"][first:last][above]] = True
            return found
        for first, block in self._rows():
            block.data = (block.data > 0).astype(np.float32)
            found[first : first + block.shape[0]] = (block @ columns.astype(np.float32)) > 0
        return found

    def take(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Some cells (ascending numbers), CSR float32."""
        if not len(rows):
            return sparse.csr_matrix((0, self.shape[1]), dtype=np.float32)
        if self.kind == "csc":
            return self._by_columns(rows)
        taken = []
        for first, last in runs(rows, self._starts, _GAP):
            for start, stop in self._blocks(first, last):
                inside = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
                if len(inside):
                    taken.append(self._block(start, stop)[inside - start])
        return sparse.vstack(taken, format="csr") if len(taken) > 1 else taken[0]

    def _blocks(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, int]]:
        """Rows from `first` to `last` in blocks of about `BLOCK` values."""
        last = self.shape[0] if last is None else last
        while first < last:
            end = int(np.searchsorted(self._starts, self._starts[first] + BLOCK, side="right")) - 1
            end = min(max(end, first + 1), last)
            yield first, end
            first = end

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """Ranges of the values of a sparse matrix."""
        n = int(self._starts[-1])
        return ((first, min(first + BLOCK, n)) for first in range(0, n, BLOCK))

    def _block(self, first: int, last: int) -> sparse.csr_matrix:
        """Consecutive cells."""
        if self.kind == "dense":
            return sparse.csr_matrix(self._node[first:last], dtype=np.float32)
        begin, end = int(self._starts[first]), int(self._starts[last])
        parts = (
            self._node["data"][begin:end].astype(np.float32),
            self._node["indices"][begin:end],
            self._starts[first : last + 1] - begin,
        )
        return sparse.csr_matrix(parts, shape=(last - first, self.shape[1]))

    def _rows(self) -> Iterator[tuple[int, sparse.csr_matrix]]:
        return ((first, self._block(first, last)) for first, last in self._blocks())

    def _values(self) -> Iterator[tuple[np.ndarray, Adder]]:
        """All values, float32, some at a time, each with what gathers figures of them by cell.

        The genes of a sparse matrix are not read.
        """
        if self.kind == "csc":
            for first, last in self._pieces():
                cells = self._node["indices"][first:last]

                def scatter(ufunc: np.ufunc, x: np.ndarray, into: np.ndarray, cells=cells) -> None:
                    ufunc.at(into, cells, x)

                yield self._node["data"][first:last].astype(np.float32), scatter
            return
        for first, last in self._blocks():
            if self.kind == "dense":
                block = self._block(first, last)
                values, edges = block.data, block.indptr
            else:
                begin, end = int(self._starts[first]), int(self._starts[last])
                values = self._node["data"][begin:end].astype(np.float32)
                edges = self._starts[first : last + 1] - begin
            rows = np.flatnonzero(np.diff(edges))

            def add(ufunc: np.ufunc, x: np.ndarray, into: np.ndarray, rows=rows + first, starts=edges[rows]) -> None:
                if len(rows):
                    into[rows] = ufunc(into[rows], ufunc.reduceat(x, starts))

            yield values, add

    def _by_genes(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Genes and values, float64, of all values, some at a time."""
        if self.kind == "csc":
            for first, last in self._pieces():
                yield self._genes(first, last), self._node["data"][first:last].astype(np.float64)
            return
        for _, block in self._rows():
            yield block.indices, block.data.astype(np.float64)

    def _genes(self, first: int, last: int) -> np.ndarray:
        """Gene of each of a range of values of a matrix that lies by genes."""
        begin = int(np.searchsorted(self._starts, first, side="right")) - 1
        end = int(np.searchsorted(self._starts, last))
        ends = np.clip(self._starts[begin : end + 1], first, last)
        return np.repeat(np.arange(begin, end), np.diff(ends))

    def _by_columns(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Some cells of a matrix that lies by genes: every value is passed."""
        place = np.full(self.shape[0], -1, np.int64)
        place[rows] = np.arange(len(rows))
        found = []
        for first, last in self._pieces():
            at = place[self._node["indices"][first:last]]
            wanted = at >= 0
            values = self._node["data"][first:last][wanted].astype(np.float32)
            found.append((at[wanted], self._genes(first, last)[wanted], values))
        if not found:
            return sparse.csr_matrix((len(rows), self.shape[1]), dtype=np.float32)
        cells, columns, values = (np.concatenate(part) for part in zip(*found))
        ends = np.cumsum(np.bincount(columns, minlength=self.shape[1]))
        by_gene = sparse.csc_matrix((values, cells, np.concatenate([[0], ends])), shape=(len(rows), self.shape[1]))
        return by_gene.tocsr()


def _divisor(values: np.ndarray, divisor: int) -> int:
    """Largest whole number that divides these values and `divisor`; 1 where there is none."""
    if divisor == 1 or not len(values):
        return divisor
    values = values.astype(np.float64)
    if not np.isfinite(values).all() or np.abs(values).max() > _LARGEST_WHOLE:
        return 1
    whole = np.rint(values)
    if (np.abs(values - whole) > _ROUNDING).any():
        return 1
    return int(np.gcd.reduce(whole.astype(np.int64), initial=divisor))


def _count(values: np.ndarray, add: Adder, cells: CellFacts, powers: bool) -> bool:
    """Collect facts on cells from some values; whether logarithms were undone."""
    fraction = ~np.isclose(values, np.rint(values), rtol=0, atol=_ROUNDING)
    add(np.add, (values != 0).astype(np.int64), cells.n_values)
    add(np.minimum, np.where(values == 0, np.inf, values).astype(np.float64), cells.least)
    add(np.maximum, np.nan_to_num(values).astype(np.float64), cells.most)
    add(np.add, values.astype(np.float64), cells.sums[:, 0])
    if not (powers or fraction.any()):
        return False
    add(np.add, fraction.astype(np.int64), cells.n_fractions)
    bounded = np.clip(values, 0, _LARGEST_EXPONENT)
    for k, base in enumerate(BASES, 1):
        add(np.add, undo_log(bounded, base), cells.sums[:, k])
    return True

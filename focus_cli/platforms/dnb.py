"""Stereo-seq's UMIs, each on a nanoball of the chip's grid, summed to bins or cells in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.errors import BadInputError

MOST_GENES = 1 << 20
MOST_DNB = 1 << 21  # a side of the largest chip has 4 × 10⁵ nanoballs
_MOST_COUNT = 1 << 40
_PENDING = 16_000_000  # sums that wait to be merged


@dataclass
class Measured:
    """What a Stereo-seq file holds, in units of the chip's grid.

    Attributes
    ----------
    names
        Of the locations: ``x_y``, the corner of a bin, or the vendor's cell id.
    xy
        float64 (n, 2): centres in nanoballs from the chip's origin; nanoball i covers [i, i + 1).
    counts
        int64 CSR (n, genes).
    genes
        Columns ``id``, ``name``, ``type``.
    bin
        Side of a bin in nanoballs; None for cells.
    area
        float64 (n,): area of the cells in nanoballs, where it is known.
    nm
        Distance of neighbouring nanoballs.
    """

    names: list[str]
    xy: np.ndarray
    counts: sparse.csr_matrix
    genes: pd.DataFrame
    bin: int | None
    area: np.ndarray | None = None
    nm: float = 500.0
    version: str = ""
    warnings: list[str] = field(default_factory=list)


class Sums:
    """Counts by place and gene, added a chunk at a time; memory follows the number of distinct pairs."""

    def __init__(self) -> None:
        self._blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._total = 0

    def add(self, place: np.ndarray, gene: np.ndarray, count: np.ndarray) -> None:
        """Add UMIs: int64 (n,) each; a place is below 2**42, a gene below `MOST_GENES`."""
        self._total += int(count.sum())
        keys, values = _merge(place * MOST_GENES + gene, count)
        self._blocks.append((keys // MOST_GENES, (keys % MOST_GENES).astype(np.int32), self._small(values)))
        # The first block is what was merged before: to wait for as much again keeps merging rare.
        sizes = [len(values) for _, _, values in self._blocks]
        if sum(sizes[1:]) > max(_PENDING, sizes[0]):
            places, counts = self.finish(MOST_GENES)
            self._blocks = [(np.repeat(places, np.diff(counts.indptr)), counts.indices, counts.data)]

    def finish(self, n_genes: int) -> tuple[np.ndarray, sparse.csr_matrix]:
        """Distinct places, ascending, and their counts, CSR (places, `n_genes`). What was added is let go."""
        blocks, self._blocks = self._blocks, []
        if not blocks:
            return np.zeros(0, np.int64), sparse.csr_matrix((0, n_genes), dtype=np.int64)
        places = np.unique(np.concatenate([_distinct(place) for place, _, _ in blocks]))
        rows, genes, values = [], [], []
        while blocks:
            place, gene, value = blocks.pop()
            rows.append(np.searchsorted(places, place).astype(np.int32))
            genes.append(gene)
            values.append(self._small(value))
        row, gene, value = np.concatenate(rows), np.concatenate(genes), np.concatenate(values)
        del rows, genes, values
        counts = sparse.csr_matrix((value, (row, gene)), shape=(len(places), n_genes))  # equal pairs are added
        return places, counts

    def _small(self, values: np.ndarray) -> np.ndarray:
        """As int32, where not even the sum of all would be too large for it."""
        return values.astype(np.int32 if self._total < 2**31 else np.int64, copy=False)


def _distinct(ascending: np.ndarray) -> np.ndarray:
    if not len(ascending):
        return ascending
    return ascending[np.concatenate([[True], ascending[1:] != ascending[:-1]])]


def _merge(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add the values of equal keys; keys ascend."""
    if not len(keys):
        return keys.astype(np.int64), values.astype(np.int64)
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(values.astype(np.int64), first)


def bin_places(x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    """The bin of every nanoball, as one number that ascends by rows."""
    return (y // size) * MOST_DNB + x // size


def bin_corners(places: np.ndarray, size: int) -> np.ndarray:
    """The upper left nanoball of bins, int64 (n, 2), (x, y)."""
    return np.stack([places % MOST_DNB, places // MOST_DNB], axis=1) * size


def whole(values: np.ndarray, what: str, where: str, limit: int) -> np.ndarray:
    """Check that numbers are whole and from 0 to `limit`, and give them as int64.

    Raises
    ------
    BadInputError
        Naming what is wrong with them.
    """
    if values.dtype.kind not in "iu":
        values = values.astype(np.float64)
        if not np.all(np.isfinite(values)):
            raise BadInputError(f"{where}: {what} is NaN or infinite", hint="copy or download the file again")
        if np.any(values != np.rint(values)):
            raise BadInputError(f"{where}: {what} is not a whole number", hint="give the vendor's own file")
    if len(values) and (values.min() < 0 or values.max() > limit):
        bad = values.min() if values.min() < 0 else values.max()
        raise BadInputError(f"{where}: {what} {bad:.4g} is out of range", hint="give the vendor's own file")
    return values.astype(np.int64)


def whole_counts(values: np.ndarray, what: str, where: str) -> np.ndarray:
    """`whole`, for counts of UMIs."""
    return whole(values, what, where, _MOST_COUNT)

"""Columns and sums of a matrix on disk, in one pass over its rows: memory does not grow with its size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.damage import DAMAGE, damaged
from focus_cli.core.storage.hdf5 import check_sparse

_BLOCK_NNZ = 4_000_000  # stored values of one sparse block: 32 MB
_BLOCK_BYTES = 64 << 20  # one dense block


def _encoding(node: h5py.Group | h5py.Dataset) -> str:
    return str(node.attrs.get("encoding-type", ""))


def sparse_blocks(node: h5py.Group | h5py.Dataset) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Yield (first row, CSR block float32) over the rows of a matrix stored as CSR, CSC or dense.

    Raises
    ------
    BadInputError
        If the matrix is damaged.
    """
    name = f"{node.name} of {node.file.filename}"
    try:
        for start, block in _sparse_blocks(node):
            check_sparse(block, name)
            if not np.isfinite(block.data).all():
                raise ValueError("it holds NaN or infinite values")
            yield start, block
    except DAMAGE as error:
        raise damaged(name, error, "write the file again") from error


def _sparse_blocks(node: h5py.Group | h5py.Dataset) -> Iterator[tuple[int, sparse.csr_matrix]]:
    if isinstance(node, h5py.Dataset):
        for start, block in _dense_blocks(node, 0, node.shape[1]):
            yield start, sparse.csr_matrix(block, dtype=np.float32)
        return
    shape = tuple(int(n) for n in node.attrs["shape"])
    indptr = node["indptr"][:].astype(np.int64)
    if _encoding(node) == "csc_matrix":  # rare, and never written by FOCUS: turned around in memory
        whole = sparse.csc_matrix((node["data"][:].astype(np.float32), node["indices"][:], indptr), shape=shape)
        yield 0, whole.tocsr()
        return
    if len(indptr) != shape[0] + 1 or (np.diff(indptr) < 0).any() or indptr[0] != 0:
        raise ValueError("indptr does not fit the shape")
    start = 0
    while start < shape[0]:
        stop = int(np.searchsorted(indptr, indptr[start] + _BLOCK_NNZ, side="right")) - 1
        stop = min(max(stop, start + 1), shape[0])
        span = slice(int(indptr[start]), int(indptr[stop]))
        parts = (
            node["data"][span].astype(np.float32, copy=False),
            node["indices"][span],
            indptr[start : stop + 1] - indptr[start],
        )
        yield start, sparse.csr_matrix(parts, shape=(stop - start, shape[1]))
        start = stop


def _dense_blocks(data: h5py.Dataset, first: int, last: int) -> Iterator[tuple[int, np.ndarray]]:
    # Whole HDF5 chunks, so that each is unpacked once.
    step = data.chunks[0] if data.chunks else 1
    rows = max(1, int(_BLOCK_BYTES / max(1, (last - first) * data.dtype.itemsize) / step)) * step
    for start in range(0, data.shape[0], rows):
        try:
            block = data[start : start + rows, first:last]
        except DAMAGE as error:
            raise damaged(f"{data.name} of {data.file.filename}", error, "write the file again") from error
        if block.dtype.kind not in "iufb":
            raise BadInputError(f"{data.name} of {data.file.filename} holds no numbers", hint="write the file again")
        yield start, block


def read_columns(node: h5py.Group | h5py.Dataset, columns: np.ndarray) -> np.ndarray:
    """Read some columns of a matrix on disk.

    Parameters
    ----------
    node
        (n, m) matrix: dense dataset, or CSR or CSC group.
    columns
        Column numbers (k,), in any order.

    Returns
    -------
    numpy.ndarray
        float32 (n, k).
    """
    columns = np.asarray(columns, dtype=np.int64)
    n = int((node.shape if isinstance(node, h5py.Dataset) else node.attrs["shape"])[0])
    out = np.zeros((n, len(columns)), dtype=np.float32)
    if not len(columns):
        return out
    if not isinstance(node, h5py.Dataset):
        for start, block in sparse_blocks(node):
            out[start : start + block.shape[0]] = block[:, columns].toarray()
        return out
    width = node.chunks[1] if node.chunks else node.shape[1]
    for group in np.unique(columns // width):
        mine = np.flatnonzero(columns // width == group)
        first = int(group) * width
        for start, block in _dense_blocks(node, first, min(first + width, node.shape[1])):
            out[start : start + len(block), mine] = block[:, columns[mine] - first]
    return out


@dataclass(frozen=True)
class CountSummary:
    """Summary of one pass over the counts.

    Attributes
    ----------
    totals, detected
        Total counts and genes of each location, float64 (n,) and int64 (n,).
    gene_totals, gene_detected
        Total counts of each gene and the number of locations that hold it (m,).
    gene_variance
        Variance over locations of log1p counts per 10 000 (m,).
    """

    totals: np.ndarray
    detected: np.ndarray
    gene_totals: np.ndarray
    gene_detected: np.ndarray
    gene_variance: np.ndarray


def summarise_counts(node: h5py.Group | h5py.Dataset) -> CountSummary:
    """Sum counts over locations and genes in one pass over the rows."""
    shape = node.shape if isinstance(node, h5py.Dataset) else node.attrs["shape"]
    n, m = int(shape[0]), int(shape[1])
    totals, detected = np.zeros(n), np.zeros(n, dtype=np.int64)
    gene_totals, seen = np.zeros(m), np.zeros(m, dtype=np.int64)
    first, second = np.zeros(m), np.zeros(m)
    for start, block in sparse_blocks(node):
        rows = slice(start, start + block.shape[0])
        block.eliminate_zeros()
        totals[rows] = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
        detected[rows] = np.diff(block.indptr)
        seen += np.bincount(block.indices, minlength=m)
        gene_totals += np.bincount(block.indices, weights=block.data, minlength=m)
        scaled = log_cp10k(block, totals[rows]).data
        first += np.bincount(block.indices, weights=scaled, minlength=m)
        second += np.bincount(block.indices, weights=scaled.astype(np.float64) ** 2, minlength=m)
    variance = np.maximum(second / n - (first / n) ** 2, 0.0)
    return CountSummary(totals, detected, gene_totals, seen, variance)


def log_cp10k(counts: sparse.csr_matrix, totals: np.ndarray) -> sparse.csr_matrix:
    """log1p of counts per 10 000; a location without counts stays zero. Sparse in, sparse out."""
    scale = np.divide(keys.TARGET_SUM, totals, out=np.zeros(len(totals)), where=totals > 0)
    scaled = counts.astype(np.float32, copy=True)
    scaled.data = np.log1p(scaled.data * np.repeat(scale, np.diff(scaled.indptr))).astype(np.float32)
    return scaled


def read_raw_columns(node: h5py.Group | h5py.Dataset, columns: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Some genes as log1p of raw counts per 10 000, float32 (n, k)."""
    out = np.zeros((len(totals), len(columns)), dtype=np.float32)
    for start, block in sparse_blocks(node):
        rows = slice(start, start + block.shape[0])
        out[rows] = log_cp10k(block[:, columns].tocsr(), totals[rows]).toarray()
    return out

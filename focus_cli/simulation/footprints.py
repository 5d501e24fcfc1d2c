"""How much of each cell's RNA falls on each location, and what is expected there in sum.

A cell's counts are spread around its centre by an isotropic Gaussian (its own width and the lateral
diffusion together). The share that a footprint collects is the integral of that Gaussian over the
footprint: a product of error functions for a square, a noncentral χ² probability for a disc.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree
from scipy.special import chndtr, ndtr

from focus_cli.simulation.arrays import Locations
from focus_cli.simulation.expression import Programs
from focus_cli.simulation.tissue import Cells

SPREAD_UM = 7.0  # standard deviation of a cell's counts around its centre
_REACH = 4.0  # cells farther than this many spreads from a footprint are left out of it
_LEAST = 1e-30  # of the nearest cell, however far: every location expects something
_BLOCK = 4096  # locations at a time: bounds the rates held in memory


def capture_weights(locations: Locations, cells: Cells, spread_um: float = SPREAD_UM) -> sparse.csr_matrix:
    """Share of each cell's counts that falls within each footprint.

    A location out of reach of every cell (in the hollow of a duct) gets the tail of its nearest one, so that
    no row is empty and proportions are defined everywhere.

    Returns
    -------
    float64 CSR (locations, cells), entries in 0..1.
    """
    tree = cKDTree(cells.xy_um)
    reach = locations.size_um / 2 + _REACH * spread_um
    norm = 2 if locations.shape == "circle" else np.inf
    pairs = cKDTree(locations.xy_um).sparse_distance_matrix(tree, reach, p=norm, output_type="ndarray")
    lonely = np.setdiff1d(np.arange(len(locations)), pairs["i"])
    i = np.concatenate([pairs["i"], lonely])
    j = np.concatenate([pairs["j"], tree.query(locations.xy_um[lonely])[1]])
    share = _captured(locations, locations.xy_um[i] - cells.xy_um[j], spread_um)
    weights = sparse.csr_matrix((np.maximum(share, _LEAST), (i, j)), shape=(len(locations), len(cells)))
    weights.sort_indices()
    return weights


def _captured(locations: Locations, off_um: np.ndarray, spread_um: float) -> np.ndarray:
    """Share within the footprint of a Gaussian whose centre is `off_um` (n, 2) away from the footprint's."""
    edge = locations.size_um / 2 / spread_um
    off = off_um / spread_um
    if locations.shape == "circle":
        return chndtr(edge**2, 2, (off**2).sum(axis=1))
    off = -np.abs(off)  # the tail on this side does not cancel
    return (ndtr(off + edge) - ndtr(off - edge)).prod(axis=1)


def expected_blocks(weights: sparse.csr_matrix, cells: Cells, programs: Programs) -> Iterator[tuple[slice, np.ndarray]]:
    """Expected counts at an efficiency of one, a block of locations at a time.

    Yields
    ------
    The block's rows, and float32 (rows, genes).
    """
    for start in range(0, weights.shape[0], _BLOCK):
        rows = slice(start, min(start + _BLOCK, weights.shape[0]))
        block = weights[rows]
        used = np.unique(block.indices)
        rates = programs.rates_of(cells, used)
        yield rows, (block[:, used].astype(np.float32) @ rates)


def cell_sums(
    column_weights: np.ndarray, cells: Cells, programs: Programs, gene_factors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over all cells and over all genes, without the whole matrix of rates.

    Parameters
    ----------
    column_weights
        float64 (cells,): the weight of each cell in the sum over cells.
    gene_factors
        float64 (genes,): the weight of each gene in the sum over genes.

    Returns
    -------
    by_gene
        float64 (genes,), summed over cells.
    by_cell
        float64 (cells,), summed over genes.
    """
    by_gene = np.zeros(programs.n_genes)
    by_cell = np.zeros(len(cells))
    for start in range(0, len(cells), _BLOCK):
        rows = slice(start, start + _BLOCK)
        rates = programs.rates_of(cells, rows).astype(np.float64)
        by_gene += column_weights[rows] @ rates
        by_cell[rows] = rates @ gene_factors
    return by_gene, by_cell

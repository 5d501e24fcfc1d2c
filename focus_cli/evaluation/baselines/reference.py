"""Baselines that learn from reference cells: projection on cell types, ridge to hidden genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import nnls

from focus_cli.core import keys
from focus_cli.evaluation.baselines.inputs import Inputs, NotRunnable, covering
from focus_cli.evaluation.baselines.ridge import fit_ridge, random_folds
from focus_cli.evaluation.baselines.transfer import MAX_ROWS, moments, standardised, transferred
from focus_cli.evaluation.genes import overdispersed_genes
from focus_cli.evaluation.normalise import log1p_cp10k, row_sums
from focus_cli.evaluation.prediction import Prediction

if TYPE_CHECKING:
    from anndata import AnnData

_FEATURES = 800


def name_alike(cells: AnnData, targets: list[pd.DataFrame]) -> AnnData:
    """Reference cells over the genes of the section or the truth, under the names used there.

    Parameters
    ----------
    cells
        Of the reference; not changed.
    targets
        ``var`` of the section and of the truth; ids and symbols are matched as everywhere in FOCUS.
    """
    from anndata import AnnData

    from focus_cli.genes import match_genes, to_species_of

    wanted = pd.concat(targets)
    wanted = wanted[~wanted.index.duplicated()]
    across = to_species_of(wanted, cells.var, "the truth", "the reference")
    if across is not None:
        cells = AnnData(sparse.csr_matrix(cells.X)[:, across[0]], obs=cells.obs, var=across[1])
    rows = match_genes(wanted, cells.var)
    found = rows >= 0
    obs = cells.obs[[c for c in (keys.CELL_TYPE,) if c in cells.obs]].copy()
    counts = sparse.csr_matrix(sparse.csr_matrix(cells.X)[:, rows[found]])
    return AnnData(counts, obs=obs, var=pd.DataFrame(index=wanted.index[found]))


def _shared(inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """Genes measured in the observed sample and in the cells; scored genes that the cells hold."""
    if inputs.cells is None:
        raise NotRunnable("needs --reference")
    if inputs.observed is None or inputs.observed.n == 0:
        raise NotRunnable("needs --observed with measured locations")
    known = set(inputs.cells.var_names)
    measured = np.array([g for g in inputs.observed.genes if g in known])
    positions = np.flatnonzero([g in known for g in inputs.genes])
    if len(measured) == 0:
        raise NotRunnable("--observed and --reference share no gene")
    if len(positions) == 0:
        raise NotRunnable("the reference holds none of the scored genes")
    return measured, positions


def _rows(inputs: Inputs) -> np.ndarray:
    n = inputs.cells.n_obs
    if n <= MAX_ROWS:
        return np.arange(n)
    return np.sort(np.random.default_rng(inputs.seed).choice(n, MAX_ROWS, replace=False))


def _counts(source: AnnData, rows: np.ndarray, genes: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix(source.X[rows][:, source.var_names.get_indexer(genes)])


def cells_on(inputs: Inputs) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """Scored genes in the reference, the rows of the cells used, and their log1p CP10k.

    The exposure of a cell is its total over the genes that the observed sample measures.

    Raises
    ------
    NotRunnable
        If there is no reference, or nothing is shared.
    """
    measured, positions = _shared(inputs)
    rows = _rows(inputs)
    exposure = row_sums(_counts(inputs.cells, rows, measured))
    rows, exposure = rows[exposure > 0], exposure[exposure > 0]
    if len(rows) == 0:
        raise NotRunnable("no reference cell expresses a measured gene")
    return positions, rows, log1p_cp10k(_counts(inputs.cells, rows, inputs.genes[positions]), exposure)


def reference_projection(inputs: Inputs) -> Prediction:
    """Each location as a non-negative mixture of cell types (NNLS on its measured genes).

    The profiles are the mean cell types, or the reference's cell states if it has fewer than two types.
    The squared error is weighted by 1/mean of each gene, the inverse of its Poisson variance. The mixture is
    scaled to sum to 1 and carries every gene that the reference holds.
    """
    measured, positions = _shared(inputs)
    targets = inputs.own_rows()
    features = measured[overdispersed_genes(inputs.observed.counts_of(measured), _FEATURES)]
    if len(features) == 0:
        raise NotRunnable("no measured gene varies")
    profile_in, profile_out = _profiles(inputs, measured, features, inputs.genes[positions])
    if len(profile_in) < 2:
        raise NotRunnable("the reference has neither cell types nor cell states")
    exposure = row_sums(inputs.observed.counts_of(measured))
    seen = log1p_cp10k(inputs.observed.counts_of(features), exposure)[targets]
    seen.data = np.expm1(seen.data)
    mixture = _mix(profile_in, seen)
    covered, position = covering(positions, len(inputs.genes))

    def columns(genes: np.ndarray) -> np.ndarray:
        return np.log1p(mixture @ profile_out[:, position[genes]]).astype(np.float32)

    return Prediction("reference_projection", covered, columns)


def _profiles(
    inputs: Inputs, measured: np.ndarray, features: np.ndarray, scored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean CP10k of each cell type (or state) over two lists of genes, (types, genes) each."""
    source, rows = inputs.cells, _rows(inputs)
    labels = np.asarray(source.obs[keys.CELL_TYPE].astype(str))[rows] if keys.CELL_TYPE in source.obs else rows[:0]
    types, label = np.unique(labels, return_inverse=True)
    if len(types) < 2 and inputs.states is not None:
        source = inputs.states
        rows = label = np.arange(source.n_obs)
        types = label
    if len(types) < 2:
        return np.empty((0, len(features))), np.empty((0, len(scored)))
    exposure = row_sums(_counts(source, rows, measured))
    scale = np.divide(keys.TARGET_SUM, exposure, out=np.zeros_like(exposure), where=exposure > 0)
    share = 1.0 / np.bincount(label)[label]
    mean = sparse.csr_matrix((scale * share, (label, np.arange(len(rows)))), shape=(len(types), len(rows)))
    return tuple((mean @ _counts(source, rows, genes)).toarray() for genes in (features, scored))


def _mix(profiles: np.ndarray, seen: sparse.csr_matrix) -> np.ndarray:
    """Non-negative mixtures, rows sum to 1, float64 (n, types); NNLS reduced to types × types by QR."""
    mean = profiles.mean(axis=0)
    weight = np.divide(1.0, np.sqrt(mean), out=np.zeros_like(mean), where=mean > 0)
    design = (profiles * weight).T  # genes × types
    q, r = np.linalg.qr(design)
    reduced = seen @ (q * weight[:, None])
    out = np.array([nnls(r, row)[0] for row in reduced])
    total = out.sum(axis=1, keepdims=True)
    even = np.full_like(out, 1.0 / out.shape[1])
    return np.divide(out, total, out=even, where=total > 0)


def cells_and_locations(
    inputs: Inputs,
) -> tuple[np.ndarray, sparse.csr_matrix, sparse.csr_matrix, sparse.csr_matrix]:
    """Inputs that transfer hidden genes from cells to locations.

    Returns
    -------
    positions
        Scored genes that are hidden everywhere and that the reference holds.
    targets
        Their log1p CP10k in cells, (cells, len(positions)).
    train, here
        Up to 800 overdispersed genes of the observed section in cells and at locations, log1p CP10k.

    Raises
    ------
    NotRunnable
        If there is nothing to carry, or nothing to carry it by.
    """
    measured, _ = _shared(inputs)
    positions, rows, targets = cells_on(inputs)
    hidden = ~inputs.observed.has(inputs.genes[positions])
    if not hidden.any():
        raise NotRunnable("no scored gene is hidden everywhere")
    features = measured[overdispersed_genes(inputs.observed.counts_of(measured), _FEATURES)]
    if len(features) == 0:
        raise NotRunnable("no measured gene varies")
    exposure = row_sums(_counts(inputs.cells, rows, measured))
    train = log1p_cp10k(_counts(inputs.cells, rows, features), exposure)
    if not (moments(train)[1] > 0).any():
        raise NotRunnable("no measured gene varies in the reference")
    here = inputs.observed.values(features, measured)[inputs.own_rows()]
    return positions[hidden], targets[:, hidden], train, here


def reference_ridge(inputs: Inputs) -> Prediction:
    """Ridge from measured to hidden genes, trained on the reference's cells.

    Up to 800 overdispersed genes of the observed section predict the hidden ones. Cells and locations are
    standardised each by themselves.
    """
    positions, targets, train, here = cells_and_locations(inputs)
    model = fit_ridge(standardised(train), targets, random_folds(train.shape[0], inputs.seed))
    covered, position = covering(positions, len(inputs.genes))
    return Prediction("reference_ridge", covered, transferred(model, here, position))

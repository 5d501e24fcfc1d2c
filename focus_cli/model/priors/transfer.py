"""Loadings for genes that no panel holds, from the scRNA-seq reference.

A gene's vector is computed, never looked up: the cells of the reference show how the gene follows from the
genes that the panel does hold, and those have measured vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.genes import common_names, match_genes, read_gene_names, to_species_of
from focus_cli.model.priors.spatial_prior import SpatialPrior, merge_genes
from focus_cli.model.priors.statistics import residual_scale

MIN_SHARED_GENES = 10
DETECTION_MIN = 5  # cells in which a gene must be seen for a loading
DEVIATION_CLIP = 10.0
MAX_CELLS = 2000  # cells in the regression: its cost grows with their square
GENE_BLOCK = 2000
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # in units of the mean eigenvalue of the cells' Gram matrix
PENALTY_GENES = 300
# Fields of a prior that hold one entry per gene.
GENE_ARRAYS = (
    "genes",
    "gene_ids",
    "baseline",
    "level_error",
    "loadings",
    "reference_loadings",
    "measured",
    "in_reference",
)


@dataclass(frozen=True)
class ReferenceStates:
    """The reference on the names of the samples: cells (log1p CP10k, CSR) and states (proportions)."""

    genes: np.ndarray
    cells: sparse.csr_matrix
    proportions: np.ndarray

    def deviations(self, genes: np.ndarray, baseline: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Standardised deviations of the cell states from their mean, states × `genes`; 0 where unknown."""
        rows = np.searchsorted(self.genes, genes).clip(max=len(self.genes) - 1)
        known = (self.genes[rows] == genes) & (baseline > 0)
        mean = self.proportions.mean(axis=0)
        relative = self.proportions / np.maximum(mean, 1e-12) - 1
        relative = np.clip(relative[:, rows], -1, DEVIATION_CLIP) * (mean[rows] > 1e-8)
        return np.where(known, relative * baseline * scale, 0.0)


def reference_states(reference, panel: pd.DataFrame, own: pd.DataFrame | None = None) -> ReferenceStates:
    """Put the reference on the names that the samples use (`panel`: names, and ids under ``gene_ids``).

    Parameters
    ----------
    own
        The genes of the sample, where `panel` holds those of a model too; a refusal names one of them.

    Raises
    ------
    BadInputError
        If fewer than ten genes are shared.
    """
    from focus_cli.genes.reference import log_normalise

    cells, prototypes = reference.cells, reference.prototypes
    measured_names = panel.index.to_numpy(str)
    matched = match_genes(panel, cells.var)
    n_shared = int((matched >= 0).sum())
    if n_shared < min(MIN_SHARED_GENES, len(measured_names)):
        mine = panel.index[matched < 0]
        mine = mine if own is None else own.index[own.index.isin(mine)]
        raise BadInputError(
            f"the reference shares {n_shared} genes with the samples "
            f"(samples: {mine[0] if len(mine) else own.index[0]}, …; reference: {cells.var_names[0]}, …)",
            hint="use a reference of the same species and the same kind of gene names",
        )
    symbols = read_gene_names(cells.var).symbol
    names = np.where(symbols == "", cells.var_names.to_numpy(str), symbols).astype(object)
    names[matched[matched >= 0]] = measured_names[matched >= 0]
    names = names.astype(str)
    # A gene of the reference that is called like one of the panel and is another gene has no name here.
    own = np.flatnonzero(np.isin(np.arange(len(names)), matched) | ~np.isin(names, measured_names))
    unique, first = np.unique(names[own], return_index=True)
    first = own[first]
    return ReferenceStates(
        genes=unique,
        cells=log_normalise(cells.X)[:, first].tocsr(),
        proportions=np.asarray(prototypes.X, dtype=np.float64)[:, first],
    )


def _correlation_loadings(prior: SpatialPrior) -> np.ndarray:
    """Correlation of each measured gene's standardised residual with each whitened factor, genes × K."""
    v = prior.loadings * (prior.baseline * residual_scale(prior.baseline))[:, None]
    return v / np.sqrt(1 + (v**2).sum(axis=1, keepdims=True))


def _standardise(cells: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    mean = np.asarray(cells.mean(axis=0)).ravel()
    second = np.asarray(cells.multiply(cells).mean(axis=0)).ravel()
    return mean, np.sqrt(np.maximum(second - mean**2, 1e-8))


@dataclass(frozen=True)
class Regression:
    """Regression of any gene on the panel's genes over cells, in the dual.

    In the cells, ridge regression of gene h on all shared panel genes gives coefficients β; over tissue the
    panel's genes are x_j ≈ ρ_j · z; so x_h ≈ Σ_j β_j ρ_j · z. In the dual, with S = Z ρ and M = (Z Zᵀ + λI)⁻¹,
    the vector is Sᵀ M z_h: a sum over cells.

    Attributes
    ----------
    chosen
        int64, rows of the cells that take part.
    scores
        S, cells × K.
    inverse
        M, cells × cells.
    standardised
        Columns of the reference → Z, cells × columns.
    """

    chosen: np.ndarray
    scores: np.ndarray
    inverse: np.ndarray
    standardised: Callable[[np.ndarray], np.ndarray]


def _regression(prior: SpatialPrior, states: ReferenceStates, rows: np.ndarray, usable: np.ndarray) -> Regression:
    cells, chosen = states.cells, np.arange(states.cells.shape[0])
    if len(chosen) > MAX_CELLS:
        chosen = np.linspace(0, len(chosen) - 1, MAX_CELLS).astype(int)
        cells = cells[chosen]
    mean, spread = _standardise(cells)

    def standardised(columns: np.ndarray) -> np.ndarray:
        z = cells[:, columns].toarray().astype(np.float32)
        return (z - mean[columns].astype(np.float32)) / spread[columns].astype(np.float32)

    rho = _correlation_loadings(prior).astype(np.float32)
    predictors = np.flatnonzero(usable & prior.measured)
    gram = np.zeros((cells.shape[0], cells.shape[0]))
    scores = np.zeros((cells.shape[0], prior.n_factors))
    for block in np.array_split(predictors, max(1, len(predictors) // GENE_BLOCK)):
        z = standardised(rows[block])
        gram += z @ z.T
        scores += z @ rho[block]
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0)
    unseen = np.flatnonzero(usable & ~prior.measured)
    penalty = _choose_penalty(values, vectors, standardised, rows[unseen])
    return Regression(chosen, scores, (vectors / (values + penalty)) @ vectors.T, standardised)


def _regressed_vectors(prior: SpatialPrior, states: ReferenceStates, rows: np.ndarray, usable: np.ndarray):
    """Gene vectors by composition: the cells' regression of a gene on the panel, then the panel's vectors.

    A panel gene's own column is taken out of its regression (Sherman–Morrison), so that its vector too is what the
    reference implies for it *without* measuring it.

    Returns
    -------
    float64, genes of the prior × K; zero where not usable.
    """
    found = _regression(prior, states, rows, usable)
    rho = _correlation_loadings(prior).astype(np.float32)
    result = np.zeros((len(prior.genes), prior.n_factors))
    for block in np.array_split(np.flatnonzero(usable), max(1, int(usable.sum()) // GENE_BLOCK)):
        z = found.standardised(rows[block])
        solved = found.inverse @ z
        own = np.where(prior.measured[block], np.minimum((z * solved).sum(axis=0), 0.999), 0.0)[:, None]
        result[block] = (solved.T @ found.scores - own * rho[block]) / (1 - own)
    return result


def _known_rows(prior: SpatialPrior, states: ReferenceStates) -> tuple[np.ndarray, np.ndarray]:
    """Row of each gene of the prior among those of the reference (−1: none), and whether enough cells show it."""
    rows = np.searchsorted(states.genes, prior.genes).clip(max=len(states.genes) - 1)
    rows = np.where(states.genes[rows] == prior.genes, rows, -1)
    detected = np.asarray((states.cells > 0).sum(axis=0)).ravel() >= DETECTION_MIN
    return rows, (rows >= 0) & detected[rows]


def vectors_by_cell(
    prior: SpatialPrior, states: ReferenceStates, genes: np.ndarray
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """What each cell adds to the vectors of genes that no sample measured.

    Parameters
    ----------
    genes
        Rows of the prior.

    Returns
    -------
    cells
        int64, rows of the reference's cells that take part.
    parts
        Row of the prior → float64, cells × K, up to one factor for each gene; genes that the reference does not show
        are left out.
    """
    rows, usable = _known_rows(prior, states)
    found = _regression(prior, states, rows, usable)
    parts = {}
    for gene in genes[usable[genes] & ~prior.measured[genes]]:
        solved = found.inverse @ found.standardised(rows[[gene]])
        parts[int(gene)] = solved * found.scores
    return found.chosen, parts


def _choose_penalty(values: np.ndarray, vectors: np.ndarray, standardised, unseen_columns: np.ndarray) -> float:
    """Ridge penalty with the least leave-one-cell-out error on genes outside the panel (closed form)."""
    scale = values.mean()
    if len(unseen_columns) < MIN_SHARED_GENES:
        return float(scale)
    step = max(1, len(unseen_columns) // PENALTY_GENES)
    targets = vectors.T @ standardised(unseen_columns[::step])
    errors = []
    for factor in PENALTIES:
        shrink = values / (values + factor * scale)
        leverage = np.einsum("ck,k,ck->c", vectors, shrink, vectors)
        left = vectors @ ((1 - shrink)[:, None] * targets)
        errors.append(((left / np.maximum(1 - leverage, 1e-6)[:, None]) ** 2).mean())
    return float(PENALTIES[int(np.argmin(errors))] * scale)


def transfer_loadings(
    prior: SpatialPrior, states: ReferenceStates, keep_also: np.ndarray | None = None
) -> SpatialPrior:
    """Complete a prior with what the reference contains.

    Fills `reference_loadings` for every gene of the reference, and `loadings` and `baseline` of the genes
    that no sample measured. The scale of the transfer (cells vary otherwise than spots) is fitted on the
    measured genes, for loadings by least squares through the origin and for baselines by a regression
    of log proportions, whose error becomes `level_error`.
    """
    rows, usable = _known_rows(prior, states)
    known = rows >= 0
    predicted = _regressed_vectors(prior, states, rows, usable)
    both = usable & prior.measured
    rho = _correlation_loadings(prior)
    slope = float((rho[both] * predicted[both]).sum() / max((predicted[both] ** 2).sum(), 1e-12))
    rho_reference = predicted * np.clip(slope, 0.05, 1.0)
    norm = np.minimum((rho_reference**2).sum(axis=1, keepdims=True), 0.9)
    v = rho_reference / np.sqrt(1 - norm)

    proportion = states.proportions.mean(axis=0)[rows]
    log_p, log_reference = np.log(np.maximum(prior.baseline, 1e-12)), np.log(np.maximum(proportion, 1e-9))
    fit = np.polyfit(log_reference[both], log_p[both], 1) if both.sum() > 2 else np.array([1.0, 0.0])
    # How far the reference's level of a gene is off: known where a sample has measured the gene as well.
    off = log_p[both] - np.polyval(fit, log_reference[both])
    level_error = np.sqrt(np.mean(off**2)) if both.any() else 1.0
    # A gene seen in too few cells has a mean and no vector: it is written flat, with reliability 0.
    unseen = known & ~prior.measured
    baseline = np.where(unseen, np.exp(np.polyval(fit, log_reference)), prior.baseline)

    relative = np.zeros_like(v)
    np.divide(v, (baseline * residual_scale(baseline))[:, None], out=relative, where=usable[:, None])
    keep = prior.measured | known
    if keep_also is not None:
        keep = keep | keep_also
    completed = replace(
        prior,
        baseline=baseline,
        level_error=np.where(unseen, level_error, prior.level_error).astype(np.float32),
        loadings=np.where(unseen[:, None], relative, prior.loadings).astype(np.float32),
        reference_loadings=relative.astype(np.float32),
        in_reference=usable,
    )
    return replace(
        completed,
        **{name: getattr(completed, name)[keep] for name in GENE_ARRAYS},
    )


def transfer_error(prior: SpatialPrior) -> float:
    """Relative error of the reference's gene vectors, on genes that the samples measure.

    Root of Σ|v − v_ref|² / Σ|v_ref|² over measured genes that the reference contains, in standardised units;
    1 where there is none to compare.
    """
    both = prior.measured & prior.in_reference
    if not both.any():
        return 1.0
    weight = (prior.baseline * residual_scale(prior.baseline))[both, None]
    true, predicted = prior.loadings[both] * weight, prior.reference_loadings[both] * weight
    return float(np.sqrt(((true - predicted) ** 2).sum() / max((predicted**2).sum(), 1e-12)))


def adopt_names(prior: SpatialPrior, panel: pd.DataFrame) -> SpatialPrior:
    """The same prior with its genes called as a sample calls them (`panel`: names, and ids under ``gene_ids``).

    Genes of a prior of another species become their one-to-one orthologues; those that have none are left out.

    Raises
    ------
    BadInputError
        If there are no orthologues between the two species, or they are not used.
    """
    prior = _of_species(prior, panel)
    named = common_names([panel, prior.var])[1].index.to_numpy(str)
    if (named == prior.genes).all():
        return prior
    order = np.argsort(named, kind="stable")
    moved = {name: getattr(prior, name)[order] for name in GENE_ARRAYS}
    return replace(prior, **moved | {"genes": named[order]})


def _of_species(prior: SpatialPrior, panel: pd.DataFrame) -> SpatialPrior:
    """The genes of a prior that have an orthologue in the species of a panel, under its symbol, else its id."""
    across = to_species_of(panel, prior.var, "the sample", "the model")
    if across is None:
        return prior
    kept, var, _ = across
    symbols, ids = var[keys.SYMBOL].to_numpy(str), var[keys.GENE_ID].to_numpy(str)
    names = np.where(pd.Series(symbols).duplicated(keep=False), ids, symbols)
    order = np.argsort(names, kind="stable")
    moved = {name: getattr(prior, name)[kept][order] for name in GENE_ARRAYS}
    return replace(prior, **moved | {"genes": names[order], "gene_ids": ids[order]})


def extend_prior(prior: SpatialPrior, panel: pd.DataFrame, panel_share: np.ndarray, reference) -> SpatialPrior:
    """Give a trained prior the genes of another panel and of another reference.

    Parameters
    ----------
    prior
        As trained; its own genes keep their vectors.
    panel
        A sample's genes, names and ids; those that are new and unknown to the reference get no factor (their
        own counts still inform them), those that the reference contains get the vector that it computes.
    panel_share
        Their shares of the sample's counts, in the order of `panel`.
    reference
        `focus_cli.genes.reference.Reference`, or None.
    """
    from focus_cli.genes.reference import reference_for

    if reference is not None:
        reference = reference_for(reference, panel)
    prior = adopt_names(prior, panel)
    table = merge_genes([prior.var, panel])
    new_panel = np.setdiff1d(panel.index.to_numpy(str), prior.genes)
    states = reference_states(reference, table, panel) if reference is not None else None
    new = np.union1d(new_panel, np.setdiff1d(states.genes, prior.genes)) if states is not None else new_panel
    if not len(new):
        return prior
    genes = np.union1d(prior.genes, new)
    old = np.searchsorted(genes, prior.genes)

    def spread(values: np.ndarray) -> np.ndarray:
        grown = np.zeros((len(genes), *values.shape[1:]), values.dtype)
        grown[old] = values
        return grown

    grown = SpatialPrior(
        genes=genes,
        gene_ids=table[keys.GENE_ID].reindex(genes).fillna("").to_numpy(str),
        baseline=spread(prior.baseline),
        level_error=spread(prior.level_error),
        loadings=spread(prior.loadings),
        reference_loadings=spread(prior.reference_loadings),
        measured=spread(prior.measured),
        in_reference=spread(prior.in_reference),
        variance=prior.variance,
    )
    if states is not None:
        kept = np.isin(genes, prior.genes) | np.isin(genes, new_panel)
        completed = transfer_loadings(grown, states, keep_also=kept)
        # Genes the prior already knows keep their vectors, whichever reference is handed over now.
        at = completed.rows(prior.genes)
        for name in ("baseline", "level_error", "loadings", "reference_loadings", "in_reference"):
            getattr(completed, name)[at] = getattr(prior, name)
        grown = completed
    share = dict(zip(panel.index, panel_share))
    baseline, level_error = grown.baseline.copy(), grown.level_error.copy()
    for name in new_panel:
        row = grown.rows(np.array([name]))[0]
        baseline[row], level_error[row] = max(share[name], 1e-9), 0.0
    return replace(grown, baseline=baseline, level_error=level_error)

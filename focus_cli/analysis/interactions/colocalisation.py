r"""Is a receptor found where its ligand is, beyond what two patterns do by chance?

With e of a gene as in tests of patterns (counts, depth taken out, over √N) and the graph w of pairs within reach, a
location with itself included,

.. math:: T = \sum_i (W e^L)_i \, e^R_i .

Tissue has few patches and many genes: two unrelated genes with patterns correlate by accident. So T is compared with
what two unrelated fields with the autocovariances of :math:`W e^L` and :math:`e^R` would give
(`significance.correlogram`), not with shuffled locations.

The second test applies the same to what the state of the tissue explains of either gene, :math:`\hat e = A \hat\beta`,
where the state was inferred without the gene (`significance.states`). Counts of many genes and the H&E carry it, so it
sees pairs of which hardly anything was counted. It is an estimate: the error of :math:`\hat\beta`, known from the
counts that it rests on, is added to the variance, as between-imputation variance is (Rubin 1987). Without that the
patterns that are borrowed from other genes make neighbours of genes that have nothing to do with each other.

A complex meets its partner where every subunit does: the largest p-value of its pairs of subunits (intersection–union
test, Berger 1982, doi:10.1080/00401706.1982.10487790).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from focus_cli.analysis.significance.counts import ObservedCounts, state_axes
from focus_cli.analysis.significance.distances import DistanceClasses, chance_variance, correlation_tail
from focus_cli.analysis.significance.states import HiddenGeneStates
from focus_cli.core.progress import task

_BLOCK = 256  # genes at a time


@dataclass(frozen=True)
class Colocalisation:
    """Of pairs of genes.

    Attributes
    ----------
    r
        Correlation of the receptor with the ligand within reach, float64 (pairs,).
    p
        Upper tail, float64 (pairs,).
    """

    r: np.ndarray
    p: np.ndarray


def neighbourhood(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """W: mean over a location and those within reach."""
    whole = graph + sparse.identity(graph.shape[0], np.float32, format="csr")
    return (sparse.diags((1 / np.asarray(whole.sum(axis=1)).ravel()).astype(np.float32)) @ whole).tocsr()


def counted_together(
    observed: ObservedCounts,
    ligands: np.ndarray,
    receptors: np.ndarray,
    around: sparse.csr_matrix,
    classes: DistanceClasses,
) -> Colocalisation:
    """The test on counts.

    Parameters
    ----------
    ligands, receptors
        Columns of `observed`, one of each for every pair.
    around
        W of `neighbourhood`.
    """
    genes, (left, right) = _unique(ligands, receptors)
    basis, scaled = observed.basis, observed.scaled
    y = scaled[:, genes]
    c = np.asarray(y.T @ basis)  # genes × columns of the basis
    spread = np.asarray(around @ basis)
    # All sums at once: (W e)' e = (W ỹ)' ỹ less what the depth explains of either.
    own = _products(around, y, left, right)
    total = (
        own
        - (np.asarray(y.T @ spread)[right] * c[left]).sum(axis=1)
        - (np.asarray(y.T @ (around.T @ basis))[left] * c[right]).sum(axis=1)
        + ((c[left] @ (spread.T @ basis)) * c[right]).sum(axis=1)
    )
    n_classes = classes.n_classes
    auto, auto_around = np.empty((n_classes, len(genes))), np.empty((n_classes, len(genes)))
    n = len(observed.totals)
    with task("autocovariance of counts", len(genes)) as running:
        for start in range(0, len(genes), _BLOCK):
            part = slice(start, start + _BLOCK)
            e = np.asarray(y[:, part].todense(), np.float64) - basis @ c[part].T
            auto[:, part] = classes.autocovariance(e)
            auto_around[:, part] = classes.autocovariance(around @ e)
            running.advance(e.shape[1])
    squares = n * np.sqrt(auto_around[0, left] * auto[0, right])
    return Colocalisation(
        *correlation_tail(total, squares, chance_variance(classes, auto_around[:, left], auto[:, right]))
    )


def explained_together(
    observed: ObservedCounts,
    ligands: np.ndarray,
    receptors: np.ndarray,
    around: sparse.csr_matrix,
    classes: DistanceClasses,
    hidden: HiddenGeneStates,
) -> Colocalisation:
    """The test on what the state explains; genes that the sample does not hold are not tested (NaN)."""
    genes, (left, right) = _unique(ligands, receptors)
    fold, n = hidden.fold[genes], len(observed.totals)
    y = observed.scaled[:, genes]
    axes = [state_axes(states, observed.totals, observed.basis) for states in hidden.states]
    width = max(a.shape[1] for a in axes)
    beta, noise = np.zeros((len(genes), width)), np.zeros(len(genes))
    share, alpha = observed.share[genes], observed.dispersion[genes]
    unit = share * (1 - share) + alpha * share**2 * observed.totals.mean()
    inverse = [1 / np.maximum((a**2).sum(axis=0), 1e-300) for a in axes]  # axes are orthogonal
    auto, auto_around = np.zeros((classes.n_classes, len(genes))), np.zeros((classes.n_classes, len(genes)))
    for number, a in enumerate(axes):
        mine = np.flatnonzero(fold == number)
        k = a.shape[1]
        beta[mine, :k] = np.asarray(y[:, mine].T @ a) * inverse[number]
        noise[mine] = unit[mine]
        smooth = around @ a
        for start in range(0, len(mine), _BLOCK):
            part = mine[start : start + _BLOCK]
            auto[:, part] = classes.autocovariance(a @ beta[part, :k].T)
            auto_around[:, part] = classes.autocovariance(smooth @ beta[part, :k].T)
    r, p = np.full(len(ligands), np.nan), np.full(len(ligands), np.nan)
    for i, first in enumerate(axes):
        smooth = around @ first
        for j, second in enumerate(axes):
            at = np.flatnonzero((fold[left] == i) & (fold[right] == j))
            if not len(at) or not first.shape[1] or not second.shape[1]:
                continue
            cross = smooth.T @ second
            b, d = beta[left[at], : first.shape[1]], beta[right[at], : second.shape[1]]
            forward, back = b @ cross, d @ cross.T
            total = (forward * d).sum(axis=1)
            rests_on = noise[right[at]] * (forward**2 @ inverse[j]) + noise[left[at]] * (back**2 @ inverse[i])
            chance = chance_variance(classes, auto_around[:, left[at]], auto[:, right[at]])
            squares = n * np.sqrt(auto_around[0, left[at]] * auto[0, right[at]])
            r[at], p[at] = correlation_tail(total, squares, chance + rests_on)
    return Colocalisation(r, p)


def _unique(ligands: np.ndarray, receptors: np.ndarray):
    genes, place = np.unique(np.concatenate([ligands, receptors]), return_inverse=True)
    return genes, np.split(place, 2)


def _products(around, y, left, right) -> np.ndarray:
    """Σ (W ỹ_l) ỹ_r of every pair, without a dense matrix of genes."""
    out = np.empty(len(left))
    order = np.argsort(left, kind="stable")
    for start in range(0, len(order), _BLOCK):
        at = order[start : start + _BLOCK]
        some, place = np.unique(left[at], return_inverse=True)
        smooth = np.asarray((around @ y[:, some]).todense()) if len(some) else np.zeros((y.shape[0], 0))
        ends = np.unique(right[at])
        table = np.asarray(y[:, ends].T @ smooth, np.float64)
        out[at] = table[np.searchsorted(ends, right[at]), place]
    return out

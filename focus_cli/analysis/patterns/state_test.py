r"""Dependence of the counts of a gene on the state of the tissue, inferred from other genes and the H&E.

With the axes A of the state (`focus_cli.analysis.significance.counts`), inferred without the gene, and e as in
`focus_cli.analysis.patterns.autocorrelation`,

.. math:: Q = \lVert A^T e \rVert^2 - \sum_i \lVert a_i \rVert^2 e_i^2

is the variance-component score test of a Poisson regression on the state (Wu et al. 2011,
doi:10.1016/j.ajhg.2011.05.029), without its diagonal, so that dispersion does not enter the mean. The state is an
estimate and may be wrong: then the test has no power, but its level holds, since under the null hypothesis the
counts are independent of it. The null moments are those of a quadratic form, the tail that of a shifted gamma.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focus_cli.analysis.significance.counts import ObservedCounts, state_axes
from focus_cli.analysis.significance.pvalues import upper_tail
from focus_cli.analysis.significance.states import HiddenGeneStates


@dataclass(frozen=True)
class StateTest:
    """Result of the test.

    Attributes
    ----------
    explained
        Share of a gene's variance beyond chance that the state explains: 0 is expected of no pattern, float64 (G,).
    p
        float64 (G,); NaN where a gene was not tested.
    """

    explained: np.ndarray
    p: np.ndarray


def state_test(observed: ObservedCounts, genes: np.ndarray, hidden: HiddenGeneStates) -> StateTest:
    """Test some genes (columns of `observed`, as `hidden.fold`) against states of the same locations."""
    p, explained = np.full(len(genes), np.nan), np.full(len(genes), np.nan)
    for fold in range(len(hidden.states)):
        mine = np.flatnonzero(hidden.fold[genes] == fold)
        axes = state_axes(hidden.states[fold], observed.totals, observed.basis)
        if len(mine) and axes.shape[1]:
            p[mine], explained[mine] = _test(observed, genes[mine], axes)
    return StateTest(explained, p)


def _test(observed: ObservedCounts, genes: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    totals, basis = observed.totals, observed.basis
    y = observed.scaled[:, genes]
    score = np.asarray(y.T @ axes)
    weight = (axes**2).sum(axis=1)
    c = np.asarray(y.T @ basis)
    diagonal = (
        np.asarray(y.multiply(y).T @ weight)
        - 2 * (c * np.asarray(y.T @ (weight[:, None] * basis))).sum(axis=1)
        + ((c @ (basis.T @ (weight[:, None] * basis))) * c).sum(axis=1)
    )
    form = (score**2).sum(axis=1) - diagonal

    share, alpha = observed.share[genes], observed.dispersion[genes]
    level, slope = share * (1 - share), alpha * share**2
    unit = level + slope * totals.mean()
    plain, deep = axes.T @ axes, axes.T @ (totals[:, None] * axes)
    spread = level[:, None, None] * plain + slope[:, None, None] * deep
    variance = 2 * (np.einsum("gab,gba->g", spread, spread) - unit**2 * (weight**2).sum())
    inner = float((weight * np.einsum("ia,ab,ib->i", axes, plain, axes)).sum())
    cubic = np.einsum("gab,gbc,gca->g", spread, spread, spread) - unit**3 * (3 * inner - 2 * (weight**3).sum())
    powers = totals[:, None] ** (np.arange(3) - 0.5)
    tensors = np.einsum("ir,ia,ib,ic->rabc", powers, axes, axes, axes, optimize=True).reshape(3, -1)
    skews = tensors @ tensors.T - powers.T @ ((weight**3)[:, None] * powers)
    weights = np.stack([share, 3 * alpha * share**2, 2 * alpha**2 * share**3], axis=1)
    third = 8 * cubic + 4 * np.einsum("ga,ab,gb->g", weights, skews, weights)
    mean = unit * float(weight @ (basis**2).sum(axis=1))
    total = np.asarray(y.multiply(y).sum(axis=0)).ravel() - (c**2).sum(axis=1)
    # An axis that explained everything would have a form of its own squared length times the total.
    longest = float(weight.sum() and (np.diag(plain) ** 2).sum() / np.diag(plain).sum())
    explained = (form - mean) / np.maximum(total * longest, 1e-300)
    return upper_tail(form, mean, variance, third), explained

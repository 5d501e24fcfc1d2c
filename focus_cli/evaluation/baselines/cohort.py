"""Baselines that learn from other sections."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from focus_cli.evaluation.baselines.inputs import Inputs, NotRunnable, covering
from focus_cli.evaluation.baselines.ridge import block_folds, fit_ridge
from focus_cli.evaluation.baselines.transfer import MAX_ROWS, standardised, transferred
from focus_cli.evaluation.genes import overdispersed_genes
from focus_cli.evaluation.prediction import Prediction
from focus_cli.evaluation.space import spatial_blocks

_FEATURES = 800


def _held_by_all(inputs: Inputs, genes: np.ndarray) -> np.ndarray:
    return np.logical_and.reduce([section.has(genes) for section in inputs.training])


def shared_values(inputs: Inputs) -> tuple[np.ndarray, list[sparse.csr_matrix]]:
    """Scored genes that every training section measures, and their log1p CP10k in each.

    The exposure is the total over the genes that the observed sample measures too, so that the values mean
    what they mean there.

    Raises
    ------
    NotRunnable
        If there is no training section, or none of the scored genes is in all of them.
    """
    if not inputs.training:
        raise NotRunnable("needs --training")
    covered = _held_by_all(inputs, inputs.genes)
    if not covered.any():
        raise NotRunnable("no scored gene is measured in every --training sample")
    panel = inputs.panel[_held_by_all(inputs, inputs.panel)] if len(inputs.panel) else None
    if panel is not None and len(panel) == 0:
        raise NotRunnable("--observed and --training share no gene")
    return covered, [section.values(inputs.genes[covered], panel) for section in inputs.training]


def cohort_ridge(inputs: Inputs) -> Prediction:
    """Ridge from measured to hidden genes, trained on other sections.

    Up to 800 overdispersed genes of the observed section predict the hidden ones. Each section is
    standardised separately.
    """
    if inputs.observed is None:
        raise NotRunnable("needs --observed")
    hidden = ~inputs.observed.has(inputs.genes)
    if not hidden.any():
        raise NotRunnable("no scored gene is hidden everywhere")
    rows = inputs.own_rows()
    covered, parts = shared_values(inputs)
    covered_hidden = covered & hidden
    if not covered_hidden.any():
        raise NotRunnable("no hidden gene is measured in every --training sample")
    targets = sparse.csr_matrix(sparse.vstack(parts))[:, hidden[covered]]
    panel = inputs.panel[_held_by_all(inputs, inputs.panel)]
    chosen = panel[overdispersed_genes(inputs.observed.counts_of(panel), _FEATURES)]
    if len(chosen) == 0:
        raise NotRunnable("no measured gene varies")
    values = [section.values(chosen, panel) for section in inputs.training]
    if len(values) > 1:
        folds = np.repeat(np.arange(len(values)), [part.shape[0] for part in values])
    else:
        folds = block_folds(spatial_blocks(inputs.training[0].xy_um), inputs.seed)
    features = sparse.csr_matrix(sparse.vstack([sparse.csr_matrix(standardised(part)) for part in values]))
    if features.shape[0] > MAX_ROWS:
        rng = np.random.default_rng(inputs.seed)
        keep = np.sort(rng.choice(features.shape[0], MAX_ROWS, replace=False))
        features, targets, folds = features[keep], targets[keep], folds[keep]
    model = fit_ridge(features.toarray(), targets, folds)
    here = inputs.observed.values(chosen, panel)[rows]
    _, position = covering(np.flatnonzero(covered_hidden), len(hidden))
    return Prediction("cohort_ridge", covered_hidden, transferred(model, here, position))

"""T2: hide some genes everywhere in the sample."""

from __future__ import annotations

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.evaluation.genes import OVERDISPERSED_RULE, overdispersed_genes
from focus_cli.evaluation.holdout.parts import Source, Split, require_genes, visible_sample
from focus_cli.evaluation.normalise import row_sums
from focus_cli.evaluation.truth import make_truth


def split_impute(source: Source, in_reference: np.ndarray | None = None) -> Split:
    """Remove a random half of the most variable genes, or the genes of the user's list.

    The hidden genes leave the panel and every total: size factors come from the measured genes alone.

    Parameters
    ----------
    source
        The sample; its `n_genes` most variable genes are the candidates.
    in_reference
        Boolean (G,); if given, only these genes can be held out: what a reference lacks cannot be
        imputed from it.

    Raises
    ------
    BadInputError
        If nothing would be left to hide, or to see.
    """
    panel = source.adata.var_names
    if source.asked_genes is not None:
        hidden, rule = source.positions(source.asked_genes), "a given list"
        if in_reference is not None:
            absent = panel[hidden[~in_reference[hidden]]]
            if len(absent):
                raise BadInputError(
                    f"{len(absent)} genes of the list are not in the reference, first {absent[0]}",
                    hint="drop them from the list, or leave --reference out",
                )
    else:
        candidates = require_genes(overdispersed_genes(source.counts, source.n_genes, in_reference), 2)
        hidden = np.sort(source.rng.permutation(candidates)[: len(candidates) // 2])
        rule = f"a random half of {len(candidates)} genes with the {OVERDISPERSED_RULE}" + (
            "" if in_reference is None else ", of those that the reference holds"
        )
    measured = np.setdiff1d(np.arange(len(panel)), hidden)
    shown = source.counts[:, measured]
    if shown.nnz == 0:
        raise BadInputError("the genes to hold out have all counts of the sample", hint="hold out fewer genes")
    truth = make_truth(
        source.counts[:, hidden],
        source.adata[:, hidden],
        task="impute",
        genes=list(panel[hidden]),
        rule=rule,
        seed=source.seed,
        sample_id=source.info.sample_id,
        exposure=row_sums(shown),
        exposure_of="measured genes",
    )
    return Split(visible_sample(source.adata, shown, measured), truth)

"""T3: hold out part of the counts of every location and gene by binomial thinning."""

from __future__ import annotations

from focus_cli.core.errors import UsageError
from focus_cli.core.statistics.thinning import thin
from focus_cli.evaluation.genes import OVERDISPERSED_RULE, overdispersed_genes
from focus_cli.evaluation.holdout.parts import Source, Split, require_genes, visible_sample
from focus_cli.evaluation.normalise import row_sums
from focus_cli.evaluation.truth import VISIBLE, make_truth


def split_denoise(source: Source, fraction: float) -> Split:
    """Keep each count visible with probability `fraction`; the rest is the truth.

    The scored genes are chosen on the visible part alone.

    Raises
    ------
    UsageError
        If `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"--fraction must lie between 0 and 1, got {fraction}", hint="0.5 halves the counts")
    shown, hidden = thin(source.counts, fraction, source.rng)
    if source.asked_genes is not None:
        genes, rule = source.positions(source.asked_genes), "a given list"
    else:
        genes = require_genes(overdispersed_genes(shown, source.n_genes))
        rule = f"{len(genes)} genes with the {OVERDISPERSED_RULE}, on the visible counts"
    truth = make_truth(
        hidden,
        source.adata,
        task="denoise",
        genes=list(source.adata.var_names[genes]),
        rule=rule,
        seed=source.seed,
        sample_id=source.info.sample_id,
        exposure=row_sums(hidden),
        exposure_of="all genes",
        visible_fraction=float(fraction),
        **{VISIBLE: row_sums(shown)},
    )
    return Split(visible_sample(source.adata, shown), truth, settings={"fraction": fraction})

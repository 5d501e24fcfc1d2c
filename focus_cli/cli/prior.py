"""``focus prior``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, gene_table_option, no_orthologues_option, overwrite_option, seed_option


@click.command("prior")
@click.argument("samples", metavar="[SAMPLE_DIR]...", nargs=-1, type=PATH)
@click.option("--out", type=PATH, required=True, help="Prior folder to write.")
@click.option("--reference", type=PATH, help="Folder made by `focus reference`.")
@click.option(
    "--gene-sets", "gene_sets", type=PATH, help="Gene sets in GMT format that the factors are biased towards."
)
@click.option(
    "--factors",
    "n_factors",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Largest number of factors.",
)
@seed_option
@gene_table_option
@no_orthologues_option
@overwrite_option
def command(
    samples: tuple[Path, ...],
    out: Path,
    reference: Path | None,
    gene_sets: Path | None,
    n_factors: int,
    seed: int,
    overwrite: bool,
):
    """Fit a spatial co-expression prior: which genes vary together across tissue.

    The prior is fitted to one sample, a cohort or a reference, optionally with gene sets. `focus train --prior` uses it
    instead of fitting one, and also accepts a model folder. factors.tsv lists the leading genes of every factor.

    Examples:

    \b
        focus prior samples/S1 samples/S2 --reference reference --out prior
        focus prior --reference reference --gene-sets hallmarks.gmt --out prior
        focus train samples/S3 --prior prior --out model
    """
    from focus_cli.model.priors import build_prior

    build_prior(
        list(samples),
        out,
        reference=reference,
        gene_sets=gene_sets,
        n_factors=n_factors,
        seed=seed,
        overwrite=overwrite,
    )

"""``focus prior``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, gene_table_option, overwrite_option, seed_option


@click.command("prior")
@click.argument("samples", metavar="[SAMPLE_DIR]...", nargs=-1, type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder to make.")
@click.option("--reference", type=PATH, help="Folder made by `focus reference`.")
@click.option("--gene-sets", "gene_sets", type=PATH, help="Gene sets in GMT format that the factors are drawn to.")
@click.option("--factors", "n_factors", type=click.IntRange(min=1), default=32, show_default=True, help="At most.")
@seed_option
@gene_table_option
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
    """Fit a spatial co-expression prior: which genes move together over tissue.

    From one sample, a cohort, a reference, or any of them with gene sets. `focus train --prior` takes it instead of
    fitting one; the folder of a model serves as well. factors.tsv lists the leading genes of every factor.

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

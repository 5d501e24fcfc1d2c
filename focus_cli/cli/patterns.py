"""``focus patterns``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, device_option, gene_table_option, made_of_options, overwrite_option, seed_option


@click.command("patterns")
@click.argument("enhanced", metavar="ENHANCED.h5ad", type=PATH)
@click.option("--out", type=PATH, required=True, help="Analysis result to write (.h5ad).")
@made_of_options
@click.option("--celltypes", type=PATH, help="Analysis result of `focus celltypes` to define niches from.")
@click.option(
    "--min-counts",
    type=click.IntRange(min=5),
    default=20,
    show_default=True,
    help="Genes with fewer counts in the section are not tested.",
)
@click.option("--n-niches", type=click.IntRange(min=2, max=50), help="Number of niches.  [default: by silhouette]")
@click.option(
    "--niche-um",
    type=click.FloatRange(min=0, min_open=True),
    help="Radius of a location's surroundings, µm.  [default: 2.5 spacings]",
)
@gene_table_option
@device_option
@seed_option
@overwrite_option
def command(
    enhanced: Path,
    out: Path,
    sample: Path | None,
    model: Path | None,
    reference: Path | None,
    celltypes: Path | None,
    min_counts: int,
    folds: int,
    n_niches: int | None,
    niche_um: float | None,
    device: str,
    seed: int,
    overwrite: bool,
) -> None:
    """Find spatially variable genes and niches.

    Tests use raw counts, never estimates. The null hypothesis is that a gene's share of the counts is the same at all
    locations. With --sample and --model, a gene is also tested given the tissue state, which is predicted from the
    other genes and the H&E; this finds more genes at the same false discovery rate.

    \b
        focus patterns enhanced.h5ad --out patterns.h5ad
        focus patterns enhanced.h5ad --sample samples/S1 --model model --reference reference --out patterns.h5ad
        focus patterns enhanced.h5ad --celltypes celltypes.h5ad --n-niches 6 --out patterns.h5ad
    """
    from focus_cli.analysis.patterns import PatternOptions, find_patterns

    options = PatternOptions(
        min_counts=min_counts, folds=folds, n_niches=n_niches, niche_um=niche_um, seed=seed, device=device
    )
    find_patterns(
        enhanced,
        out,
        sample=sample,
        model=model,
        reference=reference,
        celltypes=celltypes,
        options=options,
        overwrite=overwrite,
    )
    click.echo(str(out))

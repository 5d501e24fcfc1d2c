"""``focus interactions``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, device_option, gene_table_option, made_of_options, overwrite_option, seed_option


@click.command("interactions")
@click.argument("enhanced", metavar="ENHANCED.h5ad", type=PATH)
@click.option(
    "--pairs",
    type=PATH,
    required=True,
    help="Table (.csv, .tsv) with the columns ligand and receptor; CellChatDB and CellPhoneDB as in COMMOT.",
)
@click.option("--out", type=PATH, required=True, help="Analysis result to write (.h5ad).")
@made_of_options
@click.option(
    "--reach-um",
    type=click.FloatRange(min=0, min_open=True),
    help="Range of a ligand, µm.  [default: 50, or to the direct neighbours]",
)
@click.option(
    "--min-counts",
    type=click.IntRange(min=5),
    default=20,
    show_default=True,
    help="Pairs with fewer counts of any subunit in the section are not tested.",
)
@click.option(
    "--maps",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Number of pairs whose local scores are written.",
)
@gene_table_option
@device_option
@seed_option
@overwrite_option
def command(
    enhanced: Path,
    pairs: Path,
    out: Path,
    sample: Path | None,
    model: Path | None,
    reference: Path | None,
    reach_um: float | None,
    min_counts: int,
    maps: int,
    folds: int,
    device: str,
    seed: int,
    overwrite: bool,
) -> None:
    """Find ligands and receptors that are co-localised.

    A pair is significant if its counts are co-localised more than those of two unrelated genes with such patterns would
    be by chance. Estimates are used with their error, never as data. Co-localisation does not show signalling.

    \b
        focus interactions enhanced.h5ad --pairs CellChatDB.ligrec.human.csv --out interactions.h5ad
        focus interactions enhanced.h5ad --pairs pairs.csv --sample samples/S1 --model model --out interactions.h5ad
    """
    from focus_cli.analysis.interactions import InteractionOptions, find_interactions

    options = InteractionOptions(
        reach_um=reach_um, min_counts=min_counts, maps=maps, folds=folds, seed=seed, device=device
    )
    find_interactions(
        enhanced,
        out,
        pairs=pairs,
        sample=sample,
        model=model,
        reference=reference,
        options=options,
        overwrite=overwrite,
    )
    click.echo(str(out))

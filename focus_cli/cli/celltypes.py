"""``focus celltypes``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, gene_table_option, overwrite_option, seed_option


@click.command("celltypes")
@click.argument("enhanced", metavar="ENHANCED.h5ad", type=PATH)
@click.option("--reference", type=PATH, required=True, help="Folder made by `focus reference`, with cell types.")
@click.option("--out", type=PATH, required=True, help="The .h5ad to write.")
@click.option(
    "--unit",
    type=click.Choice(["auto", "spots", "cells"]),
    default="auto",
    show_default=True,
    help="What a location is: spots hold several cells, cells are one each. auto: as the platform says.",
)
@click.option(
    "--cells-per-location",
    "cells",
    type=click.FloatRange(min=1),
    help="Mean number of cells of a spot or bin; by default what its area holds of dense tissue (with --same-platform: "
    "or fewer, as the counts scatter).",
)
@click.option(
    "--same-platform",
    is_flag=True,
    help="The reference was measured in the same way as the sample: genes need no gains.",
)
@click.option("--alone", is_flag=True, help="Estimate each location from its own counts, without its neighbours.")
@click.option(
    "--max-genes",
    type=click.IntRange(min=10),
    default=1000,
    show_default=True,
    help="Genes to use, those that tell types apart best.",
)
@gene_table_option
@seed_option
@overwrite_option
def command(
    enhanced: Path,
    reference: Path,
    out: Path,
    unit: str,
    cells: float | None,
    same_platform: bool,
    alone: bool,
    max_genes: int,
    seed: int,
    overwrite: bool,
):
    """Cell types: shares of a spot, or the type of a cell, with 90 % intervals.

    The raw counts are explained by the types of the reference; what neighbours hold is a hint, weighted by the latent
    states of the enhanced file. Errors and intervals are calibrated on sections made of the reference's cells.

    Examples:

    \b
        focus celltypes S1.h5ad --reference reference --out S1.celltypes.h5ad
        focus celltypes xenium.h5ad --reference reference --unit cells --out xenium.celltypes.h5ad
        focus celltypes S1.h5ad --reference reference --cells-per-location 8 --out S1.celltypes.h5ad
    """
    from focus_cli.analysis.celltypes import CellTypeOptions, celltypes

    options = CellTypeOptions(
        unit=unit, cells=cells, gains=not same_platform, around=not alone, max_genes=max_genes, seed=seed
    )
    celltypes(enhanced, reference, out, options, overwrite=overwrite)

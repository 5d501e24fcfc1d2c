"""``focus celltypes``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, gene_table_option, no_orthologues_option, overwrite_option, seed_option


@click.command("celltypes")
@click.argument("enhanced", metavar="ENHANCED.h5ad", type=PATH)
@click.option("--reference", type=PATH, required=True, help="Folder made by `focus reference`, with cell types.")
@click.option("--out", type=PATH, required=True, help="Analysis result to write (.h5ad).")
@click.option(
    "--unit",
    type=click.Choice(["auto", "spots", "cells"]),
    default="auto",
    show_default=True,
    help="What a location is: spots hold several cells, cells are one each; auto follows the platform.",
)
@click.option(
    "--cells-per-location",
    "cells",
    type=click.FloatRange(min=1),
    help="Mean number of cells of a spot or bin.  [default: that of dense tissue in its area; with --same-platform, "
    "fewer where the scatter of the counts suggests it]",
)
@click.option(
    "--same-platform",
    is_flag=True,
    help="The reference was measured on the same platform as the sample; no gene-specific gains are fitted.",
)
@click.option("--alone", is_flag=True, help="Estimate each location from its own counts alone, without its neighbours.")
@click.option(
    "--max-genes",
    type=click.IntRange(min=10),
    default=1000,
    show_default=True,
    help="Number of genes to use: those that distinguish the types best.",
)
@gene_table_option
@no_orthologues_option
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
    """Estimate cell-type proportions of spots, or the type of each cell, with 90 % intervals.

    The raw counts are modelled as a mixture of the types of the reference. Neighbours inform each location, weighted by
    the latent states of the enhanced file. Errors and intervals are calibrated on sections simulated from the
    reference's cells.

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

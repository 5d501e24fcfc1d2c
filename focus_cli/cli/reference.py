"""``focus reference``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, gene_table_option, overwrite_option, seed_option


@click.command("reference")
@click.argument("ref", metavar="REF.h5ad", type=PATH)
@click.option("--out", type=PATH, required=True, help="Reference folder to write.")
@click.option("--cell-type", "cell_type", help="Column of obs with the cell types.  [default: guessed]")
@click.option("--states", type=click.IntRange(min=1), default=64, show_default=True, help="Number of cell states.")
@click.option(
    "--max-cells",
    type=click.IntRange(min=20),
    default=20_000,
    show_default=True,
    help="Largest number of cells to keep.",
)
@click.option(
    "--orthologues",
    type=click.Choice(["human", "mouse"]),
    help="Species to convert the reference to; only genes with a one-to-one orthologue are kept.",
)
@seed_option
@gene_table_option
@overwrite_option
def command(
    ref: Path,
    out: Path,
    cell_type: str | None,
    states: int,
    max_cells: int,
    orthologues: str | None,
    seed: int,
    overwrite: bool,
):
    """Prepare an scRNA-seq reference: gene names, cells, cell states.

    Raw counts and log1p-normalised values are distinguished automatically. The input file is not changed.

    Examples:

    \b
        focus reference breast.h5ad --out reference --cell-type cell_type
        focus reference mouse_kidney.h5ad --out reference --orthologues human
    """
    from focus_cli.genes.reference import build_reference

    build_reference(
        ref,
        out,
        cell_type,
        n_states=states,
        max_cells=max_cells,
        seed=seed,
        orthologues=orthologues,
        overwrite=overwrite,
    )

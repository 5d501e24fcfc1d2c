"""``focus why``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import (
    PATH,
    device_option,
    gene_table_option,
    no_orthologues_option,
    overwrite_option,
    seed_option,
)


@click.command("why")
@click.argument("sample", metavar="SAMPLE_DIR", type=PATH)
@click.option("--gene", "genes", multiple=True, required=True, help="Gene to explain. Repeatable.")
@click.option("--out", type=PATH, required=True, help="Analysis result to write (.h5ad).")
@click.option("--model", type=PATH, help="Model folder.  [default: the shipped focus-nano]")
@click.option("--reference", type=PATH, help="Folder made by `focus reference`, or an scRNA-seq .h5ad.")
@click.option(
    "--location",
    "locations",
    multiple=True,
    help="Location (its obs_name) to attribute to neighbours, cell states, genes and image features. Repeatable.",
)
@click.option("--histology-only", is_flag=True, help="Explain the estimate that ignores the counts.")
@click.option("--picture", type=PATH, help="Figure to write (.png).")
@gene_table_option
@no_orthologues_option
@device_option
@seed_option
@overwrite_option
def command(
    sample: Path,
    genes: tuple[str, ...],
    out: Path,
    model: Path | None,
    reference: Path | None,
    locations: tuple[str, ...],
    histology_only: bool,
    picture: Path | None,
    device: str,
    seed: int,
    overwrite: bool,
):
    """Attribute the estimate of a gene to its sources.

    For every location, the estimate is attributed to the H&E, the reference, the counts of the location, those of its
    neighbours, and the prior. The parts sum to the estimate, in log2 relative to the gene's level in the section. Use
    the --model and the --reference that the sample was enhanced with.

    Attributions explain the estimate, not the biology: a part states what the model used, not what caused the
    expression.

    Examples:

    \b
        focus why samples/S1 --model model --reference reference --gene EPCAM --out why.h5ad
        focus why samples/S1 --model model --gene EPCAM --gene CD3E --out why.h5ad --picture why.png
        focus why samples/S1 --model model --gene EPCAM --location AAACAAGTATCTCCCA-1 --out why.h5ad
    """
    from focus_cli.enhancement.attribution import WhyOptions, why

    why(
        sample,
        out,
        model=model,
        reference=reference,
        options=WhyOptions(genes=genes, locations=locations, histology_only=histology_only, seed=seed, device=device),
        picture=picture,
        overwrite=overwrite,
    )

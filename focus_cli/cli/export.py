"""Export an enhanced file and its analysis results for other programs."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, overwrite_option


@click.command("export")
@click.argument("enhanced", type=PATH, metavar="ENHANCED.h5ad")
@click.argument("analyses", nargs=-1, type=PATH, metavar="[ANALYSIS.h5ad]...")
@click.option(
    "--to",
    required=True,
    metavar="FORMAT",
    help="anndata: one .h5ad; spatialdata: a .zarr; vitessce: a folder for the browser.",
)
@click.option("--out", required=True, type=PATH, help="The .h5ad, .zarr or folder to write.")
@click.option(
    "--genes", metavar="A,B,C", help="vitessce: genes to export.  [default: up to 2,000, reliable ones first]"
)
@overwrite_option
def command(enhanced: Path, analyses: tuple[Path, ...], to: str, out: Path, genes: str | None, overwrite: bool) -> None:
    """Export an enhanced file and its analysis results for other programs.

    Domains, cell types, annotations and other analysis results are added to the estimates: values of locations to obs
    and obsm, values of genes to var, tables of pairs to uns. Names are kept. Where a name is taken, the kind of the
    analysis result is put before it.

    \b
    Examples:
        focus export S1.h5ad domains/S1.h5ad celltypes/S1.h5ad --to anndata --out S1.all.h5ad
        focus export S1.h5ad domains/S1.h5ad --to spatialdata --out S1.zarr
        focus export S1.h5ad domains/S1.h5ad --to vitessce --out S1.vitessce
    """
    from focus_cli.core.progress import print_message
    from focus_cli.reporting.export import export

    wanted = [g.strip() for g in genes.split(",") if g.strip()] if genes else None
    path = export(enhanced, analyses, to, out, genes=wanted, overwrite=overwrite)
    print_message(f"export: {path}")
    if to == "vitessce":
        print_message(f"to view it: python -m http.server --directory {path} 8000, then open http://localhost:8000")

"""Show enhanced samples in one HTML file."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.commands.options import PATH, overwrite_option
from focus_cli.errors import UsageError


@click.command("report")
@click.argument("files", nargs=-1, type=PATH, metavar="FILE.h5ad...")
@click.option("--out", required=True, type=PATH, help="The HTML file to write.")
@click.option("--scores", multiple=True, type=PATH, help="A folder written by focus evaluate; can be given many times.")
@click.option("--genes", metavar="A,B,C", help="Genes to show besides the ones that the report chooses.")
@overwrite_option
def command(files: tuple[Path, ...], out: Path, scores: tuple[Path, ...], genes: str | None, overwrite: bool) -> None:
    """Show enhanced samples in one HTML file.

    The page holds everything it needs (no network): the tissue with its locations, quality measures, a few
    genes before and after, cell states, scores beside the baselines, and what was run. A refined file is
    shown with the enhanced file of the same sample.

    Examples:

        focus report S1.h5ad --out S1.html
        focus report S1.h5ad S1.refined.h5ad S2.h5ad --out study.html
        focus report S1.h5ad --scores scores --genes EPCAM,CD3E --out S1.html
    """
    if not files:
        raise UsageError("nothing to report on", hint="name one or more files written by focus enhance")
    from focus_cli.progress import say
    from focus_cli.reporting import write_report

    wanted = [g.strip() for g in genes.split(",") if g.strip()] if genes else None
    path = write_report(files, out, scores=scores, genes=wanted, overwrite=overwrite)
    say(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")

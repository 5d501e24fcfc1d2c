"""Show enhanced samples, and what was found in them, in one HTML file."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, overwrite_option
from focus_cli.core.errors import UsageError


@click.command("report")
@click.argument("files", nargs=-1, type=PATH, metavar="FILE.h5ad...")
@click.option("--out", required=True, type=PATH, help="The HTML file to write.")
@click.option(
    "--analysis",
    "analyses",
    multiple=True,
    type=PATH,
    help="A file of focus domains, celltypes, patterns, interactions, annotate, outcome, why or embed; can be given "
    "many times. Each is shown with the file of the same sample.",
)
@click.option(
    "--sample",
    "samples",
    multiple=True,
    type=PATH,
    help="A stored sample (focus preprocess): its H&E is shown finer than the thumbnail in the enhanced file.",
)
@click.option("--scores", multiple=True, type=PATH, help="A folder written by focus evaluate; can be given many times.")
@click.option("--genes", metavar="A,B,C", help="Genes to show besides the ones that the report chooses.")
@click.option(
    "--viewer-mb",
    type=click.FloatRange(min=0, max=100),
    default=3.0,
    show_default=True,
    help="Room for what the slide viewers can show, over all samples; more room, more genes. 0: no viewer.",
)
@overwrite_option
def command(
    files: tuple[Path, ...],
    out: Path,
    analyses: tuple[Path, ...],
    samples: tuple[Path, ...],
    scores: tuple[Path, ...],
    genes: str | None,
    viewer_mb: float,
    overwrite: bool,
) -> None:
    """Show enhanced samples, and what was found in them, in one HTML file.

    The page holds everything it needs (no network): the slide to zoom and point at, domains, cell types, genes before
    and after with their intervals, tables of patterns and interactions, quality measures, scores beside the baselines,
    and what was run. Each part appears if its file is given. A refined file is shown with the enhanced file of the same
    sample; of several samples a comparison comes first.

    \b
    Examples:
        focus report S1.h5ad --out S1.html
        focus report S1.h5ad --analysis domains/S1.h5ad --analysis celltypes/S1.h5ad --out S1.html
        focus report S1.h5ad --sample samples/S1 --analysis domains/S1.h5ad --out S1.html
        focus report S1.h5ad S1.refined.h5ad S2.h5ad --out study.html
        focus report S1.h5ad --scores scores --genes EPCAM,CD3E --out S1.html
    """
    if not files:
        raise UsageError("nothing to report on", hint="name one or more files written by focus enhance")
    from focus_cli.core.progress import say
    from focus_cli.reporting import write_report

    wanted = [g.strip() for g in genes.split(",") if g.strip()] if genes else None
    path = write_report(
        files,
        out,
        scores=scores,
        genes=wanted,
        analyses=analyses,
        samples=samples,
        viewer_mb=viewer_mb,
        overwrite=overwrite,
    )
    say(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")

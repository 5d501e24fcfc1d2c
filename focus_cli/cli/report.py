"""Write an HTML report of enhanced samples and their analysis results."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, overwrite_option
from focus_cli.core.errors import UsageError


@click.command("report")
@click.argument("files", nargs=-1, type=PATH, metavar="FILE.h5ad...")
@click.option("--out", required=True, type=PATH, help="HTML file to write.")
@click.option(
    "--analysis",
    "analyses",
    multiple=True,
    type=PATH,
    help="Analysis result of focus domains, celltypes, patterns, interactions, annotate, outcome, why or embed. Each "
    "is "
    "shown with the file of the same sample. Repeatable.",
)
@click.option(
    "--sample",
    "samples",
    multiple=True,
    type=PATH,
    help="Sample folder, whose H&E is shown instead of the thumbnail in the enhanced file. Repeatable.",
)
@click.option("--scores", multiple=True, type=PATH, help="Folder written by focus evaluate. Repeatable.")
@click.option("--genes", metavar="A,B,C", help="Genes to show in addition to those that the report selects.")
@click.option(
    "--viewer-mb",
    type=click.FloatRange(min=0, max=100),
    default=3.0,
    show_default=True,
    help="Size limit of the slide viewers over all samples, MB; a larger limit shows more genes. 0: no viewer.",
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
    """Write an HTML report of enhanced samples and their analysis results.

    The page is self-contained and works offline. It shows an interactive slide, domains, cell types, genes before and
    after enhancement with intervals, tables of patterns and interactions, quality measures, scores of FOCUS and the
    baselines, and provenance. Each part is shown if its file is given. A refined file is shown with the enhanced file
    of the same sample. Several samples are compared at the top.

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
    from focus_cli.core.progress import print_message
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
    print_message(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")

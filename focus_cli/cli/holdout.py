"""Hide part of a sample, to score a method on it."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, overwrite_option, seed_option
from focus_cli.core.errors import UsageError


def _box(text: str | None, name: str) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{name} must be x0,y0,x1,y1 in µm, got {text!r}") from error
    return x0, y0, x1, y1


@click.command("holdout")
@click.argument("sample_dir", type=PATH)
@click.option(
    "--task",
    type=click.Choice(["denoise", "impute", "refine", "histology"]),
    required=True,
    help="What is hidden: molecules, genes, resolution, or all counts.",
)
@click.option("--out", type=PATH, required=True, help="Sample folder to write: what a method may see.")
@click.option("--truth", type=PATH, required=True, help="H5AD file to write: what was hidden.")
@click.option(
    "--n-genes",
    type=click.IntRange(min=1),
    help="Genes to score; for impute the candidates, of which half are hidden. Default 1000; for refine "
    "and histology 200.",
)
@click.option("--genes-file", type=PATH, help="Score (impute: hide) exactly these genes: a list or a table.")
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="denoise: probability that a molecule stays visible.",
)
@click.option("--reference", type=PATH, help="impute: hide only genes that this reference folder holds.")
@click.option("--spot-um", type=float, default=55.0, show_default=True, help="refine: diameter of a pseudo-spot.")
@click.option("--pitch-um", type=float, default=100.0, show_default=True, help="refine: pitch of the pseudo-spots.")
@click.option("--truth-bin-um", type=float, default=16.0, show_default=True, help="refine: side of a truth bin.")
@click.option(
    "--test-fraction",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="histology: share of the section, at one end of its longer axis, that is hidden.",
)
@click.option("--region", metavar="X0,Y0,X1,Y1", help="histology: hide this box in µm instead.")
@click.option(
    "--buffer-um",
    type=click.FloatRange(min=0),
    default=150.0,
    show_default=True,
    help="histology: margin of the hidden part that is hidden too, but not scored.",
)
@click.option("--sample", "sample_id", help="Name of the visible sample, where it is not that of the whole.")
@click.option("--crop", metavar="X0,Y0,X1,Y1", help="Use only this box of the section, in µm.")
@seed_option
@overwrite_option
def command(sample_dir: Path, task: str, region: str | None, crop: str | None, **options) -> None:
    """Hide part of a sample, to score a method on it.

    Writes the visible part as a sample folder, and the rest as the truth for `focus evaluate`. In the
    visible sample a location whose total is 0 is not measured.

    Half of the molecules of each location and gene:

        focus holdout S1 --task denoise --out held/S1 --truth truth.h5ad

    Half of the 1,000 most variable genes, of those that the reference holds:

        focus holdout S1 --task impute --reference ref --out held/S1 --truth truth.h5ad

    Visium HD bins, seen only as 55 µm spots:

        focus holdout S1 --task refine --truth-bin-um 16 --out held/S1 --truth truth.h5ad

    All counts of 40 % of the section; the H&E remains:

        focus holdout S1 --task histology --test-fraction 0.4 --out held/S1 --truth truth.h5ad
    """
    from focus_cli.evaluation import hold_out

    hold_out(sample_dir, task, region=_box(region, "--region"), crop=_box(crop, "--crop"), **options)

"""Hold out part of a sample, to score a method on it."""

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
    help="What is held out: counts (denoise), genes (impute), resolution (refine) or all counts (histology).",
)
@click.option("--out", type=PATH, required=True, help="Sample folder to write: the visible part.")
@click.option("--truth", type=PATH, required=True, help="H5AD file to write: the held-out part.")
@click.option(
    "--n-genes",
    type=click.IntRange(min=1),
    help="Genes to score; for impute the candidates, half of which are held out.  [default: 1000; for refine and "
    "histology 200]",
)
@click.option("--genes-file", type=PATH, help="Score (impute: hold out) exactly these genes: a list or a table.")
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="denoise: probability that a count stays visible.",
)
@click.option("--reference", type=PATH, help="impute: hold out only genes of this reference folder.")
@click.option("--spot-um", type=float, default=55.0, show_default=True, help="refine: diameter of a pseudo-spot.")
@click.option("--pitch-um", type=float, default=100.0, show_default=True, help="refine: pitch of the pseudo-spots.")
@click.option("--truth-bin-um", type=float, default=16.0, show_default=True, help="refine: side of a truth bin.")
@click.option(
    "--test-fraction",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="histology: share of the section to hold out, at one end of its longer axis.",
)
@click.option("--region", metavar="X0,Y0,X1,Y1", help="histology: hold out this box in µm instead.")
@click.option(
    "--buffer-um",
    type=click.FloatRange(min=0),
    default=150.0,
    show_default=True,
    help="histology: margin around the held-out part that is hidden too, but not scored.",
)
@click.option("--sample", "sample_id", help="Name of the visible sample.  [default: that of SAMPLE_DIR]")
@click.option("--crop", metavar="X0,Y0,X1,Y1", help="Use only this box of the section, in µm.")
@seed_option
@overwrite_option
def command(sample_dir: Path, task: str, region: str | None, crop: str | None, **options) -> None:
    """Hold out part of a sample, to score a method on it.

    Writes the visible part as a sample folder, and the held-out part as the truth for `focus evaluate`. A location with
    a total of 0 in the visible sample counts as not measured.

    Half of the counts of each location and gene:

        focus holdout S1 --task denoise --out held/S1 --truth truth.h5ad

    Half of the 1,000 most variable genes that the reference contains:

        focus holdout S1 --task impute --reference ref --out held/S1 --truth truth.h5ad

    Visium HD bins, visible only as 55 µm spots:

        focus holdout S1 --task refine --truth-bin-um 16 --out held/S1 --truth truth.h5ad

    All counts in 40 % of the section; the H&E remains visible:

        focus holdout S1 --task histology --test-fraction 0.4 --out held/S1 --truth truth.h5ad
    """
    from focus_cli.evaluation import hold_out

    hold_out(sample_dir, task, region=_box(region, "--region"), crop=_box(crop, "--crop"), **options)

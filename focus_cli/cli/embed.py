"""``focus embed``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from focus_cli.cli.options import (
    PATH,
    encoder_options,
    gene_table_option,
    no_orthologues_option,
    overwrite_option,
    seed_option,
)
from focus_cli.core.errors import UsageError

if TYPE_CHECKING:
    from focus_cli.platforms.preprocessing import Encoding


@click.command("embed")
@click.argument("sample", metavar="[SAMPLE_DIR]", type=PATH, required=False)
@click.option("--out", type=PATH, required=True, help="Embedding .h5ad to write.")
@click.option("--model", type=PATH, help="Model folder.  [default: the shipped focus-nano]")
@click.option("--reference", type=PATH, help="Folder made by `focus reference`.")
@click.option(
    "--mode",
    type=click.Choice(["auto", "joint", "expression", "histology"]),
    default="auto",
    show_default=True,
    help="Data to embed; auto uses counts and image, if the sample has them. Samples can be compared only if they were "
    "embedded in the same mode.",
)
@click.option("--histology-only", is_flag=True, help="Same as --mode histology. Without a sample, --image is embedded.")
@click.option("--image", type=PATH, help="A slide without counts: TIFF, SVS, JPEG or PNG.")
@click.option("--mpp", type=click.FloatRange(min=0, min_open=True), help="µm per pixel of --image.")
@click.option("--force", is_flag=True, help="Continue with a warning if --image is not an H&E.")
@click.option(
    "--resolution-um", type=click.FloatRange(min=0, min_open=True), help="Pitch of the grid over --image, µm."
)
@click.option(
    "--widths-um",
    default="50,150",
    show_default=True,
    help="Widths (standard deviations) of the kernels that make a neighbourhood, µm.",
)
@click.option("--samples", type=click.IntRange(min=0), default=0, show_default=True, help="Posterior draws to keep.")
@encoder_options
@gene_table_option
@no_orthologues_option
@seed_option
@overwrite_option
def command(
    sample: Path | None,
    out: Path,
    model: Path | None,
    reference: Path | None,
    mode: str,
    histology_only: bool,
    image: Path | None,
    mpp: float | None,
    force: bool,
    resolution_um: float | None,
    widths_um: str,
    samples: int,
    encoding: Encoding,
    seed: int,
    overwrite: bool,
):
    """Embed each location, its neighbourhood and the whole section as vectors.

    Vectors are computed from counts and H&E, from counts, or from H&E alone. Vectors of samples that were embedded with
    the same model, --mode and --widths-um share one space (uns["focus"]["space"]) and can be compared.

    Examples:

    \b
        focus embed samples/S1 --model model --out S1.embedding.h5ad
        focus embed samples/S1 --model model --mode expression --out S1.embedding.h5ad
        focus embed samples/S1 --model model --histology-only --out S1.embedding.h5ad
        focus embed --histology-only --image slide.svs --model model --out slide.embedding.h5ad
    """
    from focus_cli.analysis.embedding import EmbedOptions, embed

    if histology_only and mode not in ("auto", "histology"):
        raise UsageError(f"--histology-only and --mode {mode} contradict each other", hint="give one of them")
    try:
        widths = tuple(float(width) for width in widths_um.split(","))
    except ValueError:
        raise UsageError(f"--widths-um {widths_um}: not numbers", hint="for instance --widths-um 50,150") from None
    embed(
        sample,
        out,
        model=model,
        reference=reference,
        image=image,
        mpp=mpp,
        force=force,
        options=EmbedOptions(
            mode="histology" if histology_only else mode,
            widths_um=widths,
            samples=samples,
            resolution_um=resolution_um,
            seed=seed,
            device=encoding.device,
        ),
        encoding=encoding,
        overwrite=overwrite,
    )

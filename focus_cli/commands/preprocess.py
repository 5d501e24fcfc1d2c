"""Turn a raw vendor folder into a sample folder: counts, positions in µm, image features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from focus_cli.commands.options import (
    PATH,
    encoder_options,
    overwrite_option,
    reader_options,
)

if TYPE_CHECKING:
    from focus_cli.preprocessing import Encoding


@click.command("preprocess")
@click.argument("raw", type=PATH)
@click.option("--out", type=PATH, required=True, help="Sample folder to make.")
@click.option("--sample", "sample_id", required=True, help="Name of the sample: letters, digits, '.', '_', '-'.")
@reader_options
@click.option("--no-image", is_flag=True, help="Leave the image aside, even where there is one.")
@click.option(
    "--align",
    type=PATH,
    help="How an H&E that was imaged apart lies: 3 × 3 or 2 × 3 numbers (csv) that map its pixels to those of the "
    "positions, as Xenium Explorer exports them.",
)
@click.option(
    "--align-from",
    type=click.Choice(["image", "positions"]),
    help="Which pixels --align maps from.  [default: image]",
)
@click.option(
    "--landmarks",
    type=PATH,
    help="The same places on H&E and positions (csv): x_image, y_image, and x, y in px or x_um, y_um.",
)
@click.option("--register", is_flag=True, help="Find how an H&E that was imaged apart lies on the locations.")
@click.option(
    "--orient",
    metavar="NAME",
    help='Turn the positions on the image, for instance "flipped left-right"; a refusal names the right one.',
)
@click.option(
    "--shift-um",
    metavar="RIGHT,DOWN",
    help="Shift the positions on the image, in µm, after everything else.",
)
@click.option(
    "--step-um",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Pitch of the raster of image features, in µm.",
)
@encoder_options
@click.option("--organ", default="", help="What the tissue is, for instance breast: a condition of the model.")
@click.option("--species", default="", help="For instance human: a condition of the model.")
@click.option(
    "--force",
    is_flag=True,
    help="Go on where the image is no H&E or does not fit the locations; warn instead.",
)
@overwrite_option
def command(
    raw: Path,
    out: Path,
    sample_id: str,
    no_image: bool,
    align: Path | None,
    align_from: str | None,
    landmarks: Path | None,
    register: bool,
    orient: str | None,
    shift_um: str | None,
    step_um: float,
    encoding: Encoding,
    organ: str,
    species: str,
    force: bool,
    overwrite: bool,
    **reader: Any,
) -> None:
    """Turn a raw vendor folder into a sample folder: counts, positions in µm, image features.

    Counts, positions and image are checked against each other first; where they do not fit, nothing is
    written.

    \b
        focus preprocess outs/ --out samples/S1 --sample S1
        focus preprocess outs/ --out samples/S1 --sample S1 --image S1_HE.tif --bin-um 16
        focus preprocess xenium/ --out samples/X1 --sample X1 --image X1_HE.ome.tif --register
        focus preprocess outs/ --out samples/S1 --sample S1 --encoder uni --features-store features
        focus preprocess ST-cnts/C2.tsv.gz --out samples/C2 --sample C2 --organ breast --species human
    """
    from focus_cli.preprocessing import preprocess
    from focus_cli.progress import say

    stored = preprocess(
        raw,
        out,
        sample_id,
        **reader,
        step_um=step_um,
        organ=organ,
        species=species,
        overwrite=overwrite,
        force=force,
        use_image=not no_image,
        align=align,
        align_from=align_from,
        landmarks=landmarks,
        register=register,
        orient=orient,
        shift_um=shift_um,
        encoding=encoding,
    )
    info = stored.info
    say(
        f"{info.sample_id}: {info.n_locations:,} locations × {info.n_genes:,} genes, "
        f"{info.mpp:.4g} µm per pixel, "
        f"{'with' if info.image else 'without'} image features"
    )
    click.echo(str(stored.path))

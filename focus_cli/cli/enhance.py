"""``focus enhance``."""

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
    preparation_options,
    seed_option,
)
from focus_cli.core.errors import UsageError

if TYPE_CHECKING:
    from focus_cli.platforms.preprocessing import Encoding, PreprocessOptions


@click.command("enhance")
@click.argument("sample", metavar="[SAMPLE_DIR|RAW]", type=PATH, required=False)
@click.option("--out", type=PATH, required=True, help="Enhanced .h5ad to write.")
@click.option(
    "--model",
    type=PATH,
    help="Model folder, or self to train a model on this sample.  [default: the shipped focus-nano]",
)
@click.option("--reference", type=PATH, help="Folder made by `focus reference`, or an scRNA-seq .h5ad.")
@click.option(
    "--cell-type", "cell_type", help="Column of obs with the cell types of a --reference .h5ad.  [default: guessed]"
)
@click.option(
    "--genes",
    default="all",
    show_default=True,
    help="Genes to write. measured: the panel; all: also those that the reference or the model adds; or a file of "
    "names.",
)
@click.option(
    "--resolution-um",
    type=click.FloatRange(min=0, min_open=True),
    help="Pitch of the grid of the refined file, or of a slide, µm.",
)
@click.option(
    "--points", type=PATH, help="Table with coordinates x_um, y_um for the refined file, e.g. of `focus nuclei`."
)
@click.option("--refined", type=PATH, help="Refined .h5ad to write, on the grid of --resolution-um or at --points.")
@click.option(
    "--histology-only",
    is_flag=True,
    help="Ignore the counts and predict from the image alone. Without a sample, --image is a whole slide.",
)
@click.option(
    "--picture", type=PATH, help="Overview figure to write (.png).  [default for a whole slide: OUT with .png]"
)
@click.option("--samples", type=click.IntRange(min=0), default=0, show_default=True, help="Posterior draws to keep.")
@click.option(
    "--layers",
    default="mean_counts,std,q05,q95",
    show_default=True,
    help="Layers to write besides X and the raw counts, separated by commas; an empty value writes none.",
)
@click.option(
    "--adapt",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Self-supervised fine-tuning steps on this sample; 0 uses the --model as it is (zero-shot).",
)
@click.option(
    "--ablate",
    multiple=True,
    metavar="SIGNAL=WAY",
    help="Remove a signal to measure its effect: image, reference or spatial, =drop or =shuffle. Repeatable.",
)
@click.option("--max-steps", type=click.IntRange(min=1), help="Training steps of --model self.")
@preparation_options
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
    cell_type: str | None,
    genes: str,
    resolution_um: float | None,
    points: Path | None,
    refined: Path | None,
    histology_only: bool,
    picture: Path | None,
    samples: int,
    layers: str,
    adapt: int,
    ablate: tuple[str, ...],
    max_steps: int | None,
    preparation: PreprocessOptions,
    encoding: Encoding,
    seed: int,
    overwrite: bool,
):
    """Enhance a sample: denoise measured genes, impute unmeasured ones, refine the resolution.

    SAMPLE_DIR is a folder made by `focus preprocess`; a RAW platform folder is preprocessed first. By default the
    shipped model is used without further training. --adapt fine-tunes the model on this section, and --model self
    trains a new model on it.

    Examples:

    \b
        focus enhance outs/ --image he.tif --reference cells.h5ad --out enhanced.h5ad
        focus enhance outs/ --image he.tif --model self --out enhanced.h5ad
        focus enhance xenium/ --image he.ome.tif --register --organ breast --species human --out enhanced.h5ad
        focus enhance samples/S1 --model model --reference reference --out S1.h5ad
        focus enhance samples/S9 --model model --out S9.h5ad --adapt 200
        focus enhance samples/S1 --model model --out S1.h5ad --resolution-um 16 --refined S1.fine.h5ad
        focus enhance samples/S1 --model model --out S1.h5ad --points nuclei.parquet --refined S1.cells.h5ad
        focus enhance --histology-only --image slide.svs --model model --out slide.h5ad
    """
    from focus_cli.enhancement import EnhanceOptions, enhance

    if sample is None and picture is None and out.name:
        picture = out.with_suffix(".png")
    if picture is not None and picture.suffix != ".png":
        raise UsageError(f"{picture} must end in .png")

    enhance(
        sample,
        out,
        model=model,
        reference=reference,
        cell_type=cell_type,
        refined=refined,
        picture=picture,
        options=EnhanceOptions(
            genes=genes,
            resolution_um=resolution_um,
            points=None if points is None else str(points),
            histology_only=histology_only,
            samples=samples,
            adapt=adapt,
            ablate=ablate,
            layers=tuple(layer.strip() for layer in layers.split(",") if layer.strip()),
            seed=seed,
            device=encoding.device,
        ),
        preparation=preparation,
        encoding=encoding,
        training_options={"max_steps": max_steps},
        overwrite=overwrite,
    )
    if picture is not None:
        from focus_cli.reporting import write_overview

        write_overview(out, picture, overwrite=overwrite)

"""Convert raw data of a platform to a sample folder: counts, positions in µm, image features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from focus_cli.cli.options import PATH, encoder_options, overwrite_option, preparation_options

if TYPE_CHECKING:
    from focus_cli.platforms.preprocessing import Encoding, PreprocessOptions


@click.command("preprocess")
@click.argument("raw", type=PATH)
@click.option("--out", type=PATH, required=True, help="Sample folder to write.")
@click.option("--sample", "sample_id", required=True, help="Name of the sample: letters, digits, '.', '_', '-'.")
@preparation_options
@encoder_options
@overwrite_option
def command(
    raw: Path,
    out: Path,
    sample_id: str,
    preparation: PreprocessOptions,
    encoding: Encoding,
    overwrite: bool,
) -> None:
    """Convert raw data of a platform to a sample folder: counts, positions in µm, image features.

    Counts, positions and image are first checked for consistency. If they do not fit, nothing is written.

    \b
        focus preprocess outs/ --out samples/S1 --sample S1
        focus preprocess outs/ --out samples/S1 --sample S1 --image S1_HE.tif --bin-um 16
        focus preprocess xenium/ --out samples/X1 --sample X1 --image X1_HE.ome.tif --register
        focus preprocess outs/ --out samples/S1 --sample S1 --encoder uni --features-store features
        focus preprocess ST-cnts/C2.tsv.gz --out samples/C2 --sample C2 --organ breast --species human
    """
    from focus_cli.core.progress import print_message
    from focus_cli.platforms.preprocessing import preprocess

    stored = preprocess(
        raw,
        out,
        sample_id,
        preparation,
        encoding=encoding,
        overwrite=overwrite,
    )
    info = stored.info
    print_message(
        f"{info.sample_id}: {info.n_locations:,} locations × {info.n_genes:,} genes, "
        f"{info.mpp:.4g} µm per pixel, "
        f"{'with' if info.image else 'without'} image features"
    )
    click.echo(str(stored.path))

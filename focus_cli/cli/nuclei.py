"""Segment the nuclei of a slide or of a sample's image: one row per nucleus, with coordinates in µm."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, device_option, overwrite_option


@click.command("nuclei")
@click.argument("slide", type=PATH)
@click.option("--out", type=PATH, required=True, help="Table to write: .parquet or .csv.")
@click.option(
    "--method",
    type=click.Choice(["classical", "instanseg", "cellpose"]),
    default="classical",
    show_default=True,
    help="Segmentation method; instanseg and cellpose require their libraries.",
)
@click.option(
    "--mpp",
    type=click.FloatRange(min=0, min_open=True),
    help="µm per pixel of the slide, if its file does not state it; a sample stores it.",
)
@click.option(
    "--region",
    metavar="X0,Y0,X1,Y1",
    help="Part of the slide to segment, in µm.  [default: all]",
)
@device_option
@overwrite_option
def command(
    slide: Path,
    out: Path,
    method: str,
    mpp: float | None,
    region: str | None,
    device: str,
    overwrite: bool,
) -> None:
    """Segment the nuclei of a slide or of a sample's image: one row per nucleus, with coordinates in µm.

    Coordinates of a slide are in µm from its upper left corner. Coordinates of a sample made by `focus preprocess` are
    in the same µm as its locations. Works best at 0.25–0.5 µm per pixel; up to 2.2.

    \b
        focus nuclei slide.svs --out nuclei.parquet
        focus nuclei he.jpg --mpp 0.5 --region 0,0,2000,1500 --out nuclei.csv
        focus nuclei samples/S1 --out S1.nuclei.parquet
    """
    from focus_cli.core.progress import print_message
    from focus_cli.histology.nuclei import write_nuclei

    nuclei = write_nuclei(slide, out, method=method, mpp=mpp, region=region, device=device, overwrite=overwrite)
    print_message(f"{len(nuclei):,} nuclei")
    click.echo(str(out))

"""Encode the tissue of a slide with a tile encoder."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, device_option, overwrite_option

_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command("features")
@click.argument("slide", type=PATH, required=False)
@click.option(
    "--encoder", metavar="SPEC", help="Encoder: a name (--list), timm:NAME, hf:NAME, a folder or a YAML file."
)
@click.option("--out", type=PATH, help="Raster of features to write (zarr).")
@click.option("--list", "listing", is_flag=True, help="List the named encoders and exit.")
@click.option("--mpp", type=_POSITIVE, help="µm per pixel of the slide, if its file does not state it.")
@click.option(
    "--step-um", type=_POSITIVE, help="Pitch of the raster, µm.  [default: one tile, or one token with --dense]"
)
@click.option("--dense", is_flag=True, help="One vector per patch of a tile instead of one per tile.")
@click.option("--store", type=PATH, help="Folder of finished extractions, which are reused.")
@click.option("--weights", type=PATH, help="File with the weights of the named encoder, instead of a download.")
@click.option("--encoder-mpp", type=_POSITIVE, help="µm per pixel of tiles, for encoders that do not state it.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Floating-point precision of the network.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first; faster for long runs.")
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Tiles encoded at a time.")
@click.option("--threads", type=click.IntRange(min=1), help="Decoding threads.  [default: 1 with a CPU encoder]")
@click.option("--fresh", is_flag=True, help="Start again instead of continuing an interrupted extraction.")
@device_option
@overwrite_option
def command(
    slide: Path | None,
    encoder: str | None,
    out: Path | None,
    listing: bool,
    mpp: float | None,
    step_um: float | None,
    dense: bool,
    store: Path | None,
    weights: Path | None,
    encoder_mpp: float | None,
    precision: str,
    compiled: bool,
    batch: int,
    threads: int | None,
    fresh: bool,
    device: str,
    overwrite: bool,
) -> None:
    """Encode the tissue of a slide with a tile encoder, a built-in or a custom one.

    The resulting raster can be sampled at any coordinate in µm. An interrupted extraction continues when the same
    command is run again.

    \b
        focus features --list
        focus features slide.svs --encoder imagenet-lite0 --out slide.zarr
        focus features slide.svs --encoder uni2-h --out slide.zarr --precision bfloat16 --store features/
        focus features slide.svs --encoder uni --weights pytorch_model.bin --dense --out slide.zarr
        focus features slide.tif --mpp 0.25 --encoder my_encoder.yaml --out slide.zarr
    """
    if listing:
        _show()
        return
    from focus_cli.core.errors import UsageError

    if slide is None or encoder is None or out is None:
        missing = next(n for n, v in (("SLIDE", slide), ("--encoder", encoder), ("--out", out)) if v is None)
        raise UsageError(f"{missing} is missing", hint="focus features SLIDE --encoder SPEC --out FEATURES.zarr")
    from focus_cli.core.progress import print_message, warn
    from focus_cli.core.storage import check_output
    from focus_cli.core.storage.kinds import FEATURES
    from focus_cli.histology.encoders import open_encoder
    from focus_cli.histology.features import extract_features
    from focus_cli.histology.slides import open_slide

    check_output(out, FEATURES, inputs=[slide, encoder, weights, store], overwrite=overwrite)
    with open_slide(slide, mpp) as opened:
        scale = opened.require_mpp()
        warn(opened.notes)
        network = open_encoder(
            encoder,
            device=device,
            dense=dense,
            precision=precision,
            batch=batch,
            compile=compiled,
            weights=weights,
            mpp=encoder_mpp,
        )
        info = network.info
        if scale > 1.5 * info.mpp:
            print_message(
                f"the slide has {scale:.3g} µm per pixel, {info.name} expects {info.mpp:g}: "
                "tiles are enlarged and show less detail than its training tiles"
            )
        done = extract_features(
            opened,
            network,
            out,
            mpp_image=scale,
            step_um=step_um,
            store=store,
            batch=batch,
            threads=threads,
            resume=not fresh,
            overwrite=overwrite,
        )
    rows, columns = done["shape"]
    print_message(
        f"{info.name}: {info.dim} features on {rows} × {columns} cells of {done['step_um']:g} µm, "
        f"{100 * done['tissue_fraction']:.0f} % tissue, {done['tiles']:,} tiles, licence: {info.licence}"
        + (" (from the store)" if done["reused"] else "")
    )
    click.echo(str(out))


def _show() -> None:
    """Print the named encoders."""
    from rich.console import Console
    from rich.table import Table

    from focus_cli.histology.encoders import list_encoders

    table = Table(box=None, pad_edge=False)
    for title in ("name", "µm/px", "tile", "features", "licence", "access", "library"):
        table.add_column(title, justify="right" if title in ("µm/px", "tile", "features") else "left")
    for row in list_encoders():
        library = row["library"] if row["installed"] else f"{row['library']} (missing)"
        access = "gated" if row["gated"] else "open"
        cells = (row["name"], f"{row['mpp']:g}", row["tile_px"], row["dim"], row["licence"], access, library)
        table.add_row(*map(str, cells))
    # Not wrapped: at 80 columns the licences would be cut off.
    Console(width=120, highlight=False).print(table)
    click.echo("also: timm:NAME, hf:NAME or hf:FOLDER, a folder of focus pretrain, a YAML file (docs/slides.md)")

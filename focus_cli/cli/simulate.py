"""``focus simulate``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, overwrite_option, seed_option
from focus_cli.core.platform_names import PLATFORMS, STATED


@click.command("simulate")
@click.argument("out", type=PATH)
@click.option(
    "--platform",
    default="visium",
    show_default=True,
    help=f"Layout to write: {', '.join(p for p in PLATFORMS if p not in STATED)}.",
)
@click.option("--sections", type=int, default=2, show_default=True, help="Number of sections, one donor each.")
@seed_option
@click.option("--size-um", type=float, default=3000.0, show_default=True, help="Side of the square frame in µm.")
@click.option(
    "--genes",
    type=int,
    default=400,
    show_default=True,
    help="Genes on the panel; a third more are only in the reference and the truth.",
)
@click.option("--mpp", type=float, default=1.0, show_default=True, help="µm per pixel of the H&E.")
@overwrite_option
def command(
    out: Path,
    platform: str,
    sections: int,
    seed: int,
    size_um: float,
    genes: int,
    mpp: float,
    overwrite: bool,
) -> None:
    """Simulate a small study with known truth in the file layout of a vendor.

    Writes to OUT: `sections/` (raw folders with their H&E), `reference.h5ad` (annotated single cells),
    `truth/` (expected expression at the locations and on a 16 µm grid) and `samples.tsv`.

    Examples:

        focus simulate study --seed 1
        focus simulate study --platform visium_hd --size-um 1500 --seed 7
    """
    from focus_cli.core.progress import print_message
    from focus_cli.simulation import simulate

    simulate(
        out,
        platform=platform,
        n_sections=sections,
        seed=seed,
        size_um=size_um,
        n_genes=genes,
        mpp=mpp,
        overwrite=overwrite,
    )
    print_message(f"{out}: {sections} section(s) of {platform}; samples sheet: {out / 'samples.tsv'}")

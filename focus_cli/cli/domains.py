"""``focus domains``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, overwrite_option, seed_option


@click.command("domains")
@click.argument("files", metavar="FILE.h5ad...", nargs=-1, type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder to make: SAMPLE.h5ad for each sample, domains.json.")
@click.option(
    "--n-domains", type=click.IntRange(min=2), help="How many.  [default: as many as come out again from halves]"
)
@click.option(
    "--ignore-depth",
    is_flag=True,
    help="Do not look at how many molecules a location gave: where capture decides it, and not tissue.",
)
@seed_option
@overwrite_option
def command(
    files: tuple[Path, ...], out: Path, n_domains: int | None, ignore_depth: bool, seed: int, overwrite: bool
) -> None:
    """Divide tissue into domains, the same ones in all samples of a cohort.

    Files are embeddings (`focus embed`, of one model and one --mode), or enhanced expression (`focus enhance`). The
    latter holds what varies in these samples alone and no other: give it where there is no H&E and the model has
    seen other patients. A location's domain comes with a confidence: how far it stays when domains are found again
    from halves of the locations, and under posterior draws (--samples of either verb).

    Examples:

    \b
        focus domains S1.embedding.h5ad S2.embedding.h5ad --out domains
        focus domains S1.embedding.h5ad --n-domains 7 --out domains
        focus domains S1.enhanced.h5ad S2.enhanced.h5ad --out domains
    """
    from focus_cli.analysis.domains import find_domains

    find_domains(list(files), out, n_domains=n_domains, ignore_depth=ignore_depth, seed=seed, overwrite=overwrite)

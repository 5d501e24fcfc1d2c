"""``focus domains``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, overwrite_option, seed_option


@click.command("domains")
@click.argument("files", metavar="FILE.h5ad...", nargs=-1, type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder to write: SAMPLE.h5ad for each sample, and domains.json.")
@click.option(
    "--n-domains",
    type=click.IntRange(min=2),
    help="Number of domains.  [default: chosen by stability on halves of the locations]",
)
@click.option(
    "--ignore-depth",
    is_flag=True,
    help="Do not use total counts per location; for sections where they reflect capture efficiency, not tissue.",
)
@seed_option
@overwrite_option
def command(
    files: tuple[Path, ...], out: Path, n_domains: int | None, ignore_depth: bool, seed: int, overwrite: bool
) -> None:
    """Find spatial domains that are shared by all samples of a cohort.

    Files are embeddings (`focus embed`, of one model and one --mode) or enhanced files (`focus enhance`). Use enhanced
    files if there is no H&E and the model was trained on other patients: they capture the variation within these
    samples. Each location has a confidence: the stability of its domain when domains are found from halves of the
    locations, and under posterior draws (--samples of either command).

    Examples:

    \b
        focus domains S1.embedding.h5ad S2.embedding.h5ad --out domains
        focus domains S1.embedding.h5ad --n-domains 7 --out domains
        focus domains S1.enhanced.h5ad S2.enhanced.h5ad --out domains
    """
    from focus_cli.analysis.domains import find_domains

    find_domains(list(files), out, n_domains=n_domains, ignore_depth=ignore_depth, seed=seed, overwrite=overwrite)

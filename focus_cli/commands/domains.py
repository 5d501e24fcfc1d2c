"""``focus domains``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.commands.options import PATH, overwrite_option, seed_option


@click.command("domains")
@click.argument("embeddings", metavar="EMBEDDING.h5ad...", nargs=-1, type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder to make: SAMPLE.h5ad for each sample, domains.json.")
@click.option(
    "--n-domains", type=click.IntRange(min=2), help="How many.  [default: as many as come out again from halves]"
)
@seed_option
@overwrite_option
def command(embeddings: tuple[Path, ...], out: Path, n_domains: int | None, seed: int, overwrite: bool):
    """Divide tissue into domains, the same ones in all samples of a cohort.

    Embeddings are those of `focus embed`, of one model and one --mode. A location's domain comes with a confidence: how
    far it stays when domains are found again from halves of the locations, and under the embedding's posterior draws.

    Examples:

    \b
        focus domains S1.embedding.h5ad S2.embedding.h5ad --out domains
        focus domains S1.embedding.h5ad --n-domains 7 --out domains
    """
    from focus_cli.domains.stage import find_domains

    find_domains(list(embeddings), out, n_domains=n_domains, seed=seed, overwrite=overwrite)

"""``focus corpus``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH


@click.command("corpus")
@click.argument("samples", metavar="[SAMPLE_DIR]...", nargs=-1, type=PATH)
@click.option("--out", type=PATH, required=True, help="Corpus to write or to add to.")
@click.option("--verify", is_flag=True, help="Afterwards, compare every file of the corpus with its SHA-256.")
@click.option("--overwrite", is_flag=True, help="Pack the samples again, even if the corpus contains them.")
def command(samples: tuple[Path, ...], out: Path, verify: bool, overwrite: bool):
    """Pack samples into a corpus, from which training streams without loading it into memory.

    Counts and image features are stored uncompressed, in spatial order, in shards named by their content. Samples that
    the corpus already contains are skipped, so the same command adds samples and continues after an interruption. A
    model trained from a corpus is identical, byte for byte, to one trained from the sample folders.

    Examples:

    \b
        focus corpus samples/* --out corpus
        focus corpus samples/S301 --out corpus
        focus train corpus --out model
        focus corpus --out corpus --verify
    """
    from focus_cli.model.corpus import build_corpus, verify_corpus

    if samples or not verify:
        build_corpus(list(samples), out, overwrite=overwrite)
    if verify:
        verify_corpus(out)

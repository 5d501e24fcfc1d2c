"""``focus corpus``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH


@click.command("corpus")
@click.argument("samples", metavar="[SAMPLE_DIR]...", nargs=-1, type=PATH)
@click.option("--out", type=PATH, required=True, help="Corpus to make, or to add to.")
@click.option("--verify", is_flag=True, help="Compare every file of the corpus with its SHA-256, once all is packed.")
@click.option("--overwrite", is_flag=True, help="Pack the samples again, whatever the corpus holds of them.")
def command(samples: tuple[Path, ...], out: Path, verify: bool, overwrite: bool):
    """Pack samples into a corpus that training streams from: the whole of it is never in memory.

    Counts and image features lie uncompressed, in the order of the tissue, in shards named by their content. Samples
    that are in the corpus from the same files are left as they are: the same command adds samples, and goes on after
    an interruption. A model trained from a corpus is the same, to the byte, as from the sample folders.

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

"""What the commands ``focus patterns`` and ``focus interactions`` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from focus_cli.cli.options import (
    PATH,
    device_option,
    gene_table_option,
    no_orthologues_option,
    overwrite_option,
    seed_option,
)

_MADE_OF = (
    click.option(
        "--sample",
        type=PATH,
        help="Sample folder of the enhanced file; with --model, genes are also tested given the prediction from the "
        "other genes and the image.",
    ),
    click.option("--model", type=PATH, help="Model folder, preferably of a model that was not trained on this sample."),
    click.option("--reference", type=PATH, help="Folder made by `focus reference`, as for `focus enhance`."),
    click.option(
        "--folds",
        type=click.IntRange(min=2, max=50),
        default=4,
        show_default=True,
        help="Number of parts of the gene panel; expression is inferred once with each part held out.",
    ),
)


def section_test(name: str, *own: Callable, too_few: str) -> Callable[[Callable], click.Command]:
    """Make the command of a test of one section.

    Parameters
    ----------
    name
        Of the command.
    own
        Options that only this command has.
    too_few
        Help of ``--min-counts``: what is not tested.

    Returns
    -------
    A decorator of a function that takes the enhanced file, the output and all options.
    """

    def decorate(run: Callable[..., None]) -> click.Command:
        def command(enhanced: Path, out: Path, **options: Any) -> None:
            run(enhanced, out, **options)
            click.echo(str(out))

        command.__doc__ = run.__doc__
        for add in reversed(
            (
                click.argument("enhanced", metavar="ENHANCED.h5ad", type=PATH),
                click.option("--out", type=PATH, required=True, help="Analysis result to write (.h5ad)."),
                *_MADE_OF,
                *own,
                click.option("--min-counts", type=click.IntRange(min=5), default=20, show_default=True, help=too_few),
                gene_table_option,
                no_orthologues_option,
                device_option,
                seed_option,
                overwrite_option,
            )
        ):
            command = add(command)
        return click.command(name)(command)

    return decorate

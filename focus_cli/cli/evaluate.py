"""Score an enhanced file and the baselines against a truth."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, named_files, overwrite_option, seed_option


@click.command("evaluate")
@click.argument("file", type=PATH)
@click.option("--truth", type=PATH, required=True, help="Truth written by `focus holdout` or `focus simulate`.")
@click.option("--out", type=PATH, required=True, help="Folder to write the scores to.")
@click.option("--observed", type=PATH, help="Sample folder that was given to the method; most baselines require it.")
@click.option("--reference", type=PATH, help="Reference folder, for the baselines that use one.")
@click.option("--training", type=PATH, multiple=True, help="Sample folder that the method was trained on. Repeatable.")
@click.option(
    "--also",
    multiple=True,
    metavar="NAME=FILE",
    help="Another estimate of the same locations, scored in the same run. Repeatable.",
)
@click.option("--layer", default="X", show_default=True, help="Layer that holds the estimate.")
@click.option(
    "--scale",
    type=click.Choice(["auto", "log1p", "counts"]),
    default="auto",
    show_default=True,
    help="Scale of the estimate: log1p of counts per 10,000, or counts; auto detects it and prints it.",
)
@click.option("--name", help="Name of the method in the tables; focus for a file written by FOCUS.")
@seed_option
@overwrite_option
def command(file: Path, truth: Path, out: Path, also: tuple[str, ...], **options) -> None:
    """Score an enhanced file and the baselines against a truth.

    Any AnnData with the genes and locations of the truth can be scored. Writes `scores.json`, `scores.tsv`,
    `per_gene.tsv` and `scores.png`.

    Score an enhanced hold-out, with every baseline that its inputs allow:

        focus evaluate S1.h5ad --truth truth.h5ad --observed held/S1 --out scores

    Score imputed genes, with baselines that use the reference and another section:

        focus evaluate S1.h5ad --truth truth.h5ad --observed held/S1 --reference ref --training S2 --out s

    Score the output of another tool:

        focus evaluate magic.h5ad --truth truth.h5ad --observed held/S1 --name MAGIC --out scores

    Score both in the same table:

        focus evaluate S1.h5ad --truth truth.h5ad --observed held/S1 --also magic=magic.h5ad --out scores
    """
    from focus_cli.evaluation import evaluate, print_scores

    print_scores(evaluate(file, truth, out, also=named_files(also, "--also"), **options))

"""``focus outcome fit|apply``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.group import SuggestingGroup
from focus_cli.cli.options import PATH, overwrite_option, seed_option


@click.group("outcome", cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Learn response or survival from the slides of a cohort, and say honestly what that is worth.

    `fit` learns which places of a slide matter and judges it by nested cross-validation over donors, beside the mean
    of the slide and clinical covariates; `apply` scores other samples. Research only: not a medical device.

    Examples:

    \b
        focus outcome fit embeddings/*.h5ad --table clinical.tsv --time months --event died --out head
        focus outcome apply S9.h5ad --head head --out scores.tsv --attention attention
    """


@command.command("fit")
@click.argument("embeddings", metavar="EMB.h5ad...", nargs=-1, type=PATH)
@click.option(
    "--table", required=True, type=PATH, help="Table with the columns sample [, donor] and those named below."
)
@click.option("--out", required=True, type=PATH, help="Folder of the head to write.")
@click.option("--outcome", metavar="COLUMN", help="Column of two classes, such as response.")
@click.option("--positive", metavar="VALUE", help="The class to foretell, where the column does not hold 0 and 1.")
@click.option("--time", metavar="COLUMN", help="Column of the time to the event or to the end of observation.")
@click.option("--event", metavar="COLUMN", help="Column with 1 where the event was seen, 0 where it was not.")
@click.option("--covariates", metavar="A,B,C", help="Columns that are known without a slide: age, stage …")
@click.option(
    "--pooling",
    type=click.Choice(["attention", "mean"]),
    default="attention",
    show_default=True,
    help="How locations become a slide; both are measured, this one is kept.",
)
@click.option(
    "--permutations",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Number of repetitions with permuted outcomes, which must score at chance.",
)
@seed_option
@overwrite_option
def fit(
    embeddings: tuple[Path, ...],
    table: Path,
    out: Path,
    outcome: str | None,
    positive: str | None,
    time: str | None,
    event: str | None,
    covariates: str | None,
    pooling: str,
    permutations: int,
    seed: int,
    overwrite: bool,
) -> None:
    """Learn an outcome from slides and judge it on donors that were left out.

    One row of the table is one sample; samples of one donor are pooled, and a donor is never divided between learning
    and judging. Ten donors with the event, and of either class, are the least.

    Examples:

    \b
        focus outcome fit embeddings/*.h5ad --table clinical.tsv --outcome response --out head
        focus outcome fit embeddings/*.h5ad --table clinical.tsv --time months --event died \\
          --covariates age,stage --out head
    """
    from focus_cli.analysis.outcome import fit_outcome, format_scores
    from focus_cli.core.progress import say

    told = fit_outcome(
        embeddings,
        table,
        out,
        outcome=outcome,
        positive=positive,
        time=time,
        event=event,
        covariates=[name.strip() for name in (covariates or "").split(",") if name.strip()],
        pooling=pooling,
        permutations=permutations,
        seed=seed,
        overwrite=overwrite,
    )
    print(format_scores(told))
    say(f"outcome: {out}")


@command.command("apply")
@click.argument("embeddings", metavar="EMB.h5ad...", nargs=-1, type=PATH)
@click.option("--head", required=True, type=PATH, help="Folder of `focus outcome fit`.")
@click.option("--out", required=True, type=PATH, help="The .tsv to write: one row for each sample.")
@click.option("--table", type=PATH, help="Covariates of these samples, where the head was fitted with some.")
@click.option("--attention", type=PATH, help="Folder to write with SAMPLE.h5ad: what the head looks at.")
@overwrite_option
def apply(
    embeddings: tuple[Path, ...], head: Path, out: Path, table: Path | None, attention: Path | None, overwrite: bool
) -> None:
    """Score samples with a head.

    Examples:

    \b
        focus outcome apply S8.h5ad S9.h5ad --head head --out scores.tsv
        focus outcome apply S9.h5ad --head head --table clinical.tsv --out scores.tsv --attention attention
    """
    from focus_cli.analysis.outcome import apply_outcome
    from focus_cli.core.progress import say

    scores = apply_outcome(embeddings, head, out, table=table, attention=attention, overwrite=overwrite)
    print(scores.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    say(f"outcome: {out}")

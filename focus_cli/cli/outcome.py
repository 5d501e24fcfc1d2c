"""``focus outcome fit|apply``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.group import SuggestingGroup
from focus_cli.cli.options import PATH, overwrite_option, seed_option


@click.group("outcome", cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Predict response or survival from the slides of a cohort, evaluated on held-out donors.

    `fit` trains an attention model and evaluates it by nested cross-validation over donors, together with the mean of
    the slide and clinical covariates; `apply` scores other samples. For research only: not a medical device.

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
@click.option("--out", required=True, type=PATH, help="Head folder to write.")
@click.option("--outcome", metavar="COLUMN", help="Column with two classes, such as response.")
@click.option("--positive", metavar="VALUE", help="Class to predict, if the column does not hold 0 and 1.")
@click.option("--time", metavar="COLUMN", help="Column with the time to the event or to the end of observation.")
@click.option("--event", metavar="COLUMN", help="Column with 1 if the event was observed, 0 if censored.")
@click.option("--covariates", metavar="A,B,C", help="Columns with clinical covariates, such as age and stage.")
@click.option(
    "--pooling",
    type=click.Choice(["attention", "mean"]),
    default="attention",
    show_default=True,
    help="Pooling of locations to a slide; both are evaluated, this one is kept.",
)
@click.option(
    "--permutations",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Number of repetitions with permuted outcomes, which must perform at chance.",
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
    """Fit an outcome model to slides and evaluate it on held-out donors.

    Each row of the table is one sample. Samples of one donor are pooled, and a donor is never split between training
    and test. At least ten donors with the event, or of each class, are required.

    Examples:

    \b
        focus outcome fit embeddings/*.h5ad --table clinical.tsv --outcome response --out head
        focus outcome fit embeddings/*.h5ad --table clinical.tsv --time months --event died \\
          --covariates age,stage --out head
    """
    from focus_cli.analysis.outcome import fit_outcome, format_scores
    from focus_cli.core.progress import print_message

    record = fit_outcome(
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
    print(format_scores(record))
    print_message(f"outcome: {out}")


@command.command("apply")
@click.argument("embeddings", metavar="EMB.h5ad...", nargs=-1, type=PATH)
@click.option("--head", required=True, type=PATH, help="Folder of `focus outcome fit`.")
@click.option("--out", required=True, type=PATH, help="Table to write (.tsv): one row per sample.")
@click.option(
    "--table", type=PATH, help="Table with the covariates of these samples, if the head was fitted with covariates."
)
@click.option(
    "--attention", type=PATH, help="Folder to write, with the attention weights of each sample in SAMPLE.h5ad."
)
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
    from focus_cli.core.progress import print_message

    scores = apply_outcome(embeddings, head, out, table=table, attention=attention, overwrite=overwrite)
    print(scores.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    print_message(f"outcome: {out}")

"""``focus annotate fit|apply``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.group import SuggestingGroup
from focus_cli.cli.options import PATH, overwrite_option, seed_option


@click.group("annotate", cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Transfer a pathologist's labels from a few locations to all locations, also of other donors.

    `fit` trains a small classification head on frozen embeddings and evaluates it on held-out donors; `apply` annotates
    a sample.

    Examples:

    \b
        focus annotate fit embeddings/*.h5ad --labels labels.tsv --out head
        focus annotate apply embeddings/S9.h5ad --head head --out S9.annotation.h5ad
    """


@command.command("fit")
@click.argument("embeddings", metavar="EMB.h5ad...", nargs=-1, type=PATH)
@click.option("--labels", required=True, type=PATH, help="Table with the columns sample, location, label [, donor].")
@click.option("--out", required=True, type=PATH, help="Head folder to write.")
@click.option("--ignore", multiple=True, metavar="LABEL", help="Exclude rows with this label. Repeatable.")
@click.option("--against-rest", metavar="LABEL", help="Classify this label against all others.")
@click.option(
    "--leave-out",
    type=click.Choice(["donor", "block"]),
    default="donor",
    show_default=True,
    help="Cross-validation: hold out donors, or (for a single donor) blocks of tissue.",
)
@click.option("--per-class", type=click.IntRange(min=1), help="Number of labels to use of each class.  [default: all]")
@seed_option
@overwrite_option
def fit(
    embeddings: tuple[Path, ...],
    labels: Path,
    out: Path,
    ignore: tuple[str, ...],
    against_rest: str | None,
    leave_out: str,
    per_class: int | None,
    seed: int,
    overwrite: bool,
) -> None:
    """Fit a head on labelled locations.

    The embeddings are files of `focus embed`, all made with one model in one mode. Without a column donor, each sample
    is its own donor. The head is scored by nested cross-validation: each donor is held out in turn, and penalty and
    calibration are chosen on the other donors.

    Examples:

    \b
        focus annotate fit E1.h5ad G2.h5ad H1.h5ad --labels labels.tsv --out head
        focus annotate fit embeddings/*.h5ad --labels labels.tsv --against-rest "invasive cancer" \\
          --ignore undetermined --out tumour
        focus annotate fit E1.h5ad --labels labels.tsv --leave-out block --out head
    """
    from focus_cli.analysis.annotation import fit_annotation, format_scores
    from focus_cli.core.progress import print_message

    record = fit_annotation(
        embeddings,
        labels,
        out,
        ignore=ignore,
        against_rest=against_rest,
        leave_out_by=leave_out,
        per_class=per_class,
        seed=seed,
        overwrite=overwrite,
    )
    print(format_scores(record))
    print_message(f"annotate: {out}")


@command.command("apply")
@click.argument("embedding", metavar="EMB.h5ad", type=PATH)
@click.option("--head", required=True, type=PATH, help="Folder of `focus annotate fit`.")
@click.option("--out", required=True, type=PATH, help="Analysis result to write (.h5ad).")
@click.option(
    "--abstain-above",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Out-of-distribution score above which a location is not annotated; inf annotates all.",
)
@overwrite_option
def apply(embedding: Path, head: Path, out: Path, abstain_above: float, overwrite: bool) -> None:
    """Annotate all locations of a sample.

    Examples:

    \b
        focus annotate apply S9.h5ad --head head --out S9.annotation.h5ad
    """
    from focus_cli.analysis.annotation import apply_annotation
    from focus_cli.core.progress import print_message

    counts = apply_annotation(embedding, head, out, abstain_above=abstain_above, overwrite=overwrite)
    for name, n in counts.items():
        print(f"{name}\t{n}")
    print_message(f"annotate: {out}")

"""Small services of the workflow: ``python -m focus_cli.cli.workflow_steps gather|genes|summary|cohort|pack|schemas``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH


@click.group()
def services() -> None:
    """Small services of the workflow; nothing here is for typing by hand."""


@services.command()
@click.argument("folders", nargs=-1, required=True, type=PATH)
@click.option("--out", required=True, type=PATH)
def gather(folders: tuple[Path, ...], out: Path) -> None:
    """Put the scores.tsv of every folder into one table."""
    from focus_cli.workflow.scores import gather_scores

    gather_scores(folders, out)


@services.command()
@click.argument("truth", type=PATH)
@click.option("--out", required=True, type=PATH)
def genes(truth: Path, out: Path) -> None:
    """Write the genes that a hold-out scores, one per line."""
    from focus_cli.workflow.scores import write_scored_genes

    write_scored_genes(truth, out)


@services.command()
@click.argument("results", type=PATH)
def summary(results: Path) -> None:
    """Say where the results of a run are, with its scores beside the baselines'."""
    from focus_cli.workflow.scores import summarise

    click.echo(summarise(results))


@services.command()
@click.argument("results", type=PATH)
def cohort(results: Path) -> None:
    """Write cohort.html and cohort.tsv of a run, at work or over: one row per sample."""
    from focus_cli.workflow.cohort import write_cohort

    for path in write_cohort(results):
        click.echo(path)


@services.command()
@click.argument("model", type=PATH)
@click.option("--out", required=True, type=PATH)
def pack(model: Path, out: Path) -> None:
    """Make a trained model small enough to ship."""
    from focus_cli.model.checkpoints.pack import pack_model

    pack_model(model, out)


@services.command()
@click.argument("folder", type=PATH)
def schemas(folder: Path) -> None:
    """Write the JSON schemas of the configuration and of the samples sheet."""
    from focus_cli.workflow.schemas import write_schemas

    write_schemas(folder)


if __name__ == "__main__":
    services()

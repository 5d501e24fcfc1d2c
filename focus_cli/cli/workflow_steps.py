"""Internal steps of the workflow: ``python -m focus_cli.cli.workflow_steps gather|genes|summary|…``."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH


@click.group()
def steps() -> None:
    """Internal steps of the workflow."""


@steps.command()
@click.argument("folders", nargs=-1, required=True, type=PATH)
@click.option("--out", required=True, type=PATH)
def gather(folders: tuple[Path, ...], out: Path) -> None:
    """Concatenate the scores.tsv of all folders into one table."""
    from focus_cli.workflow import gather_scores

    gather_scores(folders, out)


@steps.command()
@click.argument("truth", type=PATH)
@click.option("--out", required=True, type=PATH)
def genes(truth: Path, out: Path) -> None:
    """Write the genes that a hold-out scores, one per line."""
    from focus_cli.workflow import write_scored_genes

    write_scored_genes(truth, out)


@steps.command()
@click.argument("results", type=PATH)
def summary(results: Path) -> None:
    """Print where the results of a run are, with its scores and those of the baselines."""
    from focus_cli.workflow import summarise

    click.echo(summarise(results))


@steps.command()
@click.argument("results", type=PATH)
def cohort(results: Path) -> None:
    """Write cohort.html and cohort.tsv of a run, running or finished: one row per sample."""
    from focus_cli.reporting.cohort import write_cohort

    for path in write_cohort(results):
        click.echo(path)


@steps.command()
@click.argument("config")
@click.option("--out", required=True, type=PATH)
def benchmark(config: str, out: Path) -> None:
    """Write tables and figures with the scores of all cases of a benchmark; CONFIG is JSON text."""
    from focus_cli.workflow.benchmark import check_benchmark, write_report

    write_report(check_benchmark(json.loads(config)), out)


@steps.command()
@click.argument("model", type=PATH)
@click.option("--out", required=True, type=PATH)
def pack(model: Path, out: Path) -> None:
    """Pack a trained model for distribution."""
    from focus_cli.model.checkpoints import pack_model

    pack_model(model, out)


@steps.command()
@click.argument("folder", type=PATH)
def schemas(folder: Path) -> None:
    """Write the JSON schemas of the configuration and of the samples sheet."""
    from focus_cli.workflow import write_schemas

    write_schemas(folder)


if __name__ == "__main__":
    steps()

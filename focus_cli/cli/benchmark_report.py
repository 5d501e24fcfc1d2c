"""The last step of a benchmark: ``python -m focus_cli.cli.workflow_steps benchmark CONFIG_JSON --out DIR``."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH


@click.command()
@click.argument("config")
@click.option("--out", required=True, type=PATH)
def report(config: str, out: Path) -> None:
    """Put the scores of all cases into tables and figures."""
    from focus_cli.workflow.benchmark.config import check_benchmark
    from focus_cli.workflow.benchmark.report import write_report

    write_report(check_benchmark(json.loads(config)), out)


if __name__ == "__main__":
    report()

"""The last step of a benchmark: ``python -m focus_cli.benchmark CONFIG_JSON --out DIR``."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from focus_cli.commands.options import PATH


@click.command()
@click.argument("config")
@click.option("--out", required=True, type=PATH)
def report(config: str, out: Path) -> None:
    """Put the scores of all cases into tables and figures."""
    from focus_cli.benchmark.config import check_benchmark
    from focus_cli.benchmark.report import write_report

    write_report(check_benchmark(json.loads(config)), out)


if __name__ == "__main__":
    report()

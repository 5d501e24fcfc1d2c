"""Create a new study: configuration, samples sheet and notes."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH


@click.command("init")
@click.argument("folder", type=PATH, metavar="DIR")
def command(folder: Path) -> None:
    """Create a new study: configuration, samples sheet and notes.

    Writes `config.yaml` (every key with its default and its meaning), `samples.tsv` and `README.md`. Existing files are
    never replaced.

    \b
    Example:
        focus init my-study
        cd my-study && focus run --dry-run
    """
    from focus_cli.workflow import write_study

    for path in write_study(folder):
        click.echo(path)
    click.echo(f"Next: fill in {folder / 'samples.tsv'}, then: cd {folder} && focus run --dry-run")

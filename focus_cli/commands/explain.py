"""Say what a file or folder of FOCUS is, what made it and what its fields mean."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.commands.options import PATH


@click.command("explain")
@click.argument("path", type=PATH, metavar="PATH")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def command(path: Path, as_json: bool) -> None:
    """Say what a file or folder of FOCUS is, what made it and what its fields mean.

    Knows enhanced and refined files, truth files, samples, references, models and scores.

    Examples:

        focus explain enhanced.h5ad
        focus explain enhanced.h5ad --json
    """
    from focus_cli.reporting import explain

    result = explain(path)
    if as_json:
        import json

        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        from focus_cli.reporting.explain_text import explain_text

        click.echo(explain_text(result), nl=False)

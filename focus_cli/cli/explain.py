"""Describe a file or folder written by FOCUS: its kind, provenance, inputs and fields."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import rich_click as click

from focus_cli.cli.options import PATH
from focus_cli.cli.printing import print_json
from focus_cli.core.errors import EXIT_BAD_INPUT


@click.command("explain")
@click.argument("path", type=PATH, metavar="PATH")
@click.option("--verify", is_flag=True, help="Read the inputs that are found and compare their hashes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_context
def command(context: click.Context, path: Path, verify: bool, as_json: bool) -> None:
    """Describe a file or folder written by FOCUS: its kind, provenance, inputs and fields.

    Supports enhanced, refined and truth files, analysis results, samples, references, priors, corpora, models,
    encoders, features, nuclei, scores, reports, results folders and run manifests. In the results of a run it also
    lists the jobs: rule, scheduler job id, host, time, memory and log. Inputs are followed upstream as far as they are
    found. With --verify, the exit code is 3 if an input has changed.

    \b
    Examples:
        focus explain enhanced.h5ad
        focus explain results/enhanced/S1.h5ad --verify
        focus explain results/runs/20260102T030405Z-1a2b3c.json
        focus explain results --json
    """
    from focus_cli.reporting import explain
    from focus_cli.workflow.manifest import explain_run, jobs_of

    result = explain_run(path, verify=verify) or explain(path, verify=verify, jobs_of=jobs_of)
    if as_json:
        print_json(result)
    else:
        from focus_cli.reporting import explain_text

        click.echo(explain_text(result), nl=False)
    if verify and _changed(result["upstream"]):
        context.exit(EXIT_BAD_INPUT)


def _changed(entries: Iterable[dict[str, Any]]) -> bool:
    return any(entry["state"] == "differs" or _changed(entry.get("upstream", ())) for entry in entries)

"""Check whether this machine can run FOCUS."""

from __future__ import annotations

import rich_click as click

from focus_cli.errors import EXIT_MISSING


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check whether this machine can run FOCUS.

    One line per check: PASS, WARN (something optional is not there) or FAIL, each with what to do about it.
    The exit code is 4 if anything fails.

    \b
    Example:
        focus doctor
        focus doctor --json > doctor.json
    """
    from focus_cli.workflow.health import as_text, checks, to_json

    results = checks()
    click.echo(to_json(results) if as_json else as_text(results))
    if any(check.status == "FAIL" for check in results):
        context.exit(EXIT_MISSING)

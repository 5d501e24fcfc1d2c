"""Check whether this machine can run FOCUS."""

from __future__ import annotations

import rich_click as click

_EXIT_FAILED = 1


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check whether this machine can run FOCUS.

    Prints one line per check: PASS, WARN (something optional is missing or slow) or FAIL, with a suggestion. Checks
    cover Python and packages, PyTorch and GPUs, slide codecs, schedulers, memory and other limits, local and scratch
    disks, file locks, clocks, and published encoders. The exit code is 1 if any check fails.

    \b
    Check this machine:
        focus doctor
    Check a GPU node of a Slurm cluster:
        srun --partition=gpu --gpus=1 focus doctor
    Write the checks as JSON:
        focus doctor --json > doctor.json
    """
    from focus_cli.workflow import health

    results = []
    for check in health.checks():
        results.append(check)
        if not as_json:
            click.echo(health.as_text(check))
    if as_json:
        click.echo(health.to_json(results))
    if any(check.status == health.FAIL for check in results):
        context.exit(_EXIT_FAILED)

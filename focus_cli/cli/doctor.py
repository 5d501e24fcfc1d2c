"""Check whether this machine can run FOCUS."""

from __future__ import annotations

import rich_click as click

_EXIT_FAILED = 1


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check whether this machine can run FOCUS.

    One line per check: PASS, WARN (something optional is not there, or is slow) or FAIL, each with what to do about
    it: Python and packages, PyTorch and the GPUs, the codecs of slides, schedulers, memory and other limits, the disk
    here and on scratch, locks, clocks, published encoders. The exit code is 1 if anything fails.

    \b
    This machine:
        focus doctor
    A node of a Slurm cluster, with a GPU:
        srun --partition=gpu --gpus=1 focus doctor
    For a program:
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

"""``focus train``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rich_click as click

from focus_cli.cli.options import (
    PATH,
    device_option,
    gene_table_option,
    no_orthologues_option,
    overwrite_option,
    seed_option,
)
from focus_cli.core.distributed.launch import check_launch, is_launched, launch
from focus_cli.core.distributed.stop import ignore_stop_signals


@click.command("train")
@click.argument("samples", metavar="SAMPLE_DIR|CORPUS...", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, required=True, help="Model folder to write.")
@click.option("--reference", type=PATH, help="Folder made by `focus reference`.")
@click.option(
    "--prior", type=PATH, help="Folder made by `focus prior`, or a model whose prior is used.  [default: fitted]"
)
@click.option(
    "--preset", type=click.Choice(["nano", "base", "large"]), default="nano", show_default=True, help="Network size."
)
@click.option("--config", type=PATH, help="YAML file of training settings (see docs/training.md).")
@click.option("--max-steps", type=click.IntRange(min=1), help="Optimisation steps.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes per node; use one per GPU.",
)
@click.option(
    "--nodes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Nodes to use, of the Slurm job in which the command runs.",
)
@device_option
@gene_table_option
@no_orthologues_option
@seed_option
@click.option("--resume", is_flag=True, help="Continue an interrupted training of the same settings.")
@click.option(
    "--resume-or-anew",
    is_flag=True,
    help="As --resume, but an unfinished training of other samples or settings is replaced instead of refused.",
)
@overwrite_option
def command(
    samples: tuple[Path, ...],
    out: Path,
    reference: Path | None,
    prior: Path | None,
    preset: str,
    config: Path | None,
    max_steps: int | None,
    processes: int,
    nodes: int,
    device: str,
    seed: int,
    resume: bool,
    resume_or_anew: bool,
    overwrite: bool,
):
    """Train a model on one or many samples by self-supervision: it learns to predict masked values.

    Examples:

    \b
        focus train samples/S1 --out model
        focus train samples/* --out model --reference reference --max-steps 1000
        focus train samples/* --out model --preset base --processes 4 --resume
        sbatch --nodes 2 --gpus-per-node 4 --wrap "focus train samples/* --out model --processes 4 --nodes 2"

    On SIGTERM or SIGUSR1, training saves its state after the current step and exits with code 75. The same command with
    --resume continues it.
    """
    what: dict[str, Any] = {
        "reference": reference,
        "prior": prior,
        "preset": preset,
        "config": config,
        "max_steps": max_steps,
        "device": device,
        "overwrite": overwrite,
    }
    try:
        if processes * nodes > 1 and not is_launched():
            check_launch(processes, nodes)
            from focus_cli.model.training import check_training

            check_training(list(samples), out, **what, processes=processes * nodes)
            launch(sys.argv[1:], out, processes, nodes)
        else:
            from focus_cli.model.training import train

            train(list(samples), out, **what, seed=seed, resume=resume or resume_or_anew, or_anew=resume_or_anew)
    finally:
        # From here on, a signal must not change the exit code.
        ignore_stop_signals()

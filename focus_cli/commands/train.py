"""``focus train``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.commands.options import PATH, device_option, gene_table_option, overwrite_option, seed_option


@click.command("train")
@click.argument("samples", metavar="SAMPLE_DIR...", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, required=True, help="Model folder to make.")
@click.option("--reference", type=PATH, help="Folder made by `focus reference`.")
@click.option("--prior", type=PATH, help="Made by `focus prior`, or a model whose prior to take; fitted if not given.")
@click.option("--preset", type=click.Choice(["nano", "base", "large"]), default="nano", show_default=True, help="Size.")
@click.option("--config", type=PATH, help="YAML file of training settings (see docs/training.md).")
@click.option("--max-steps", type=click.IntRange(min=1), help="Optimisation steps.")
@device_option
@gene_table_option
@seed_option
@click.option("--resume", is_flag=True, help="Continue an interrupted training of the same settings.")
@overwrite_option
def command(
    samples: tuple[Path, ...],
    out: Path,
    reference: Path | None,
    prior: Path | None,
    preset: str,
    config: Path | None,
    max_steps: int | None,
    device: str,
    seed: int,
    resume: bool,
    overwrite: bool,
):
    """Train a model on one or many samples, by self-supervision: it learns to predict what masks hide.

    Examples:

    \b
        focus train samples/S1 --out model
        focus train samples/* --out model --reference reference --max-steps 1000
    """
    from focus_cli.training.stage import train

    train(
        list(samples),
        out,
        reference=reference,
        prior=prior,
        preset=preset,
        config=config,
        max_steps=max_steps,
        device=device,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
    )

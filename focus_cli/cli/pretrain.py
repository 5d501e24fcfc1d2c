"""``focus pretrain``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, device_option, overwrite_option, seed_option


@click.command("pretrain")
@click.argument("inputs", metavar="SLIDE|SAMPLE_DIR...", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, required=True, help="Encoder folder to write.")
@click.option(
    "--preset", type=click.Choice(["tiny", "small", "base"]), default="tiny", show_default=True, help="Network size."
)
@click.option("--config", type=PATH, help="YAML file of settings (see docs/pretraining.md).")
@click.option("--max-steps", type=click.IntRange(min=1), help="Optimisation steps.")
@click.option(
    "--mpp",
    multiple=True,
    metavar="VALUE|NAME=VALUE",
    help="µm per pixel of slides that do not state it, or of the slide with that file name. Repeatable.",
)
@click.option("--init", type=PATH, help="Encoder folder to start from; it sets the size.")
@device_option
@seed_option
@click.option("--resume", is_flag=True, help="Continue an interrupted run of the same settings.")
@overwrite_option
def command(
    inputs: tuple[Path, ...],
    out: Path,
    preset: str,
    config: Path | None,
    max_steps: int | None,
    mpp: tuple[str, ...],
    init: Path | None,
    device: str,
    seed: int,
    resume: bool,
    overwrite: bool,
):
    """Pretrain an encoder of H&E tiles by self-supervision on slides and on the images of samples.

    No annotation is required. To train on several GPUs, start the command with torchrun (`--no-python`).

    Examples:

    \b
        focus pretrain slides/*.svs --out encoder
        focus pretrain a.svs b.jpg --mpp b.jpg=0.69 --out encoder --config pretrain.yaml --resume
        torchrun --nproc-per-node 4 --no-python focus pretrain slides/*.svs --out encoder --preset base
    """
    from focus_cli.histology.pretraining import pretrain

    pretrain(
        list(inputs),
        out,
        preset=preset,
        config=config,
        max_steps=max_steps,
        mpp=mpp,
        init=init,
        device=device,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
    )

"""The stage behind ``focus pretrain``: slides and samples → encoder folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from focus_cli.core import provenance
from focus_cli.core.device import choose_device
from focus_cli.core.distributed.processes import started_processes
from focus_cli.core.errors import UsageError
from focus_cli.core.progress import print_message
from focus_cli.core.storage import atomic_directory, check_output
from focus_cli.core.storage.kinds import ENCODER, STATE
from focus_cli.histology.encoders.folder import EncoderDescription, read_encoder, write_encoder_files
from focus_cli.histology.encoders.vit_config import VIT_PRESETS, ViTConfig
from focus_cli.histology.pretraining.batches import view_drawer
from focus_cli.histology.pretraining.card import encoder_card
from focus_cli.histology.pretraining.config import PretrainConfig, load_pretrain_config
from focus_cli.histology.pretraining.loop import Run, distil
from focus_cli.histology.pretraining.sources import find_sources
from focus_cli.histology.pretraining.state import state_path
from focus_cli.histology.pretraining.tiles import TileStream

# Settings that change how a run is carried out and not what comes out of it.
_MEANS = {"threads", "checkpoint_every"}


def pretrain(
    inputs: Sequence[Path],
    out: Path,
    *,
    preset: str = "tiny",
    config: Path | None = None,
    max_steps: int | None = None,
    mpp: Sequence[str] = (),
    init: Path | None = None,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Pretrain an encoder on slides and on the images of samples, and write its folder.

    Everything that can be refused is refused before any slide is surveyed.

    Parameters
    ----------
    inputs
        Slide files and sample folders.
    mpp
        ``"0.5"``: µm per level-0 px of slides that state none; ``"NAME=0.5"``: of the slide of that file name.
    init
        An encoder folder to start from.

    Raises
    ------
    FocusError
        Of the kind that fits; see `focus_cli.core.errors`.
    """
    read = [*inputs, config, init]
    check_output(out, ENCODER, inputs=read, overwrite=overwrite)
    check_output(state_path(out), STATE, inputs=read, overwrite=True)
    settings = load_pretrain_config(config, max_steps=max_steps)
    where = choose_device(device)
    initial = read_encoder(init)[0] if init is not None else None
    vit = initial.config if initial is not None else _sized(preset, settings)
    _check_sizes(vit, settings)
    sources = find_sources(inputs, mpp)
    with started_processes(where) as processes:
        stream = TileStream(
            sources,
            tile_um=settings.tile_um,
            mpp=settings.tile_mpp,
            seed=seed,
            min_tissue=settings.min_tissue,
            open_slides=settings.open_slides,
            steps_per_shelf=settings.steps_per_shelf,
        )
        paths = {f"slide:{s.name}": s.path for s in sources} | ({} if init is None else {"init": Path(init)})
        chosen = {"preset": preset, "mpp": list(mpp), **settings.model_dump(mode="json")}
        record = provenance.describe_run("pretrain", chosen, paths, seed)
        if processes.first:
            for source in sources:
                if all(ground.source is not source for ground in stream.grounds):
                    print_message(
                        f"warning: {source.name} has no tissue for a tile of {settings.tile_um:.0f} µm and is left out"
                    )
            print_message(
                f"pretraining: {len(stream.grounds)} slides, {stream.area_mm2:.1f} mm² of tissue, "
                f"tiles of {settings.tile_um:.0f} µm, {settings.max_steps} steps of {settings.batch}"
            )
        described = EncoderDescription(
            name=f"vit-{preset}" if init is None else f"vit-{Path(init).name}",
            config=vit.model_dump(),
            mpp=settings.mpp,
            tile_px=settings.global_px,
            mean=settings.mean,
            std=settings.std,
            licence=settings.licence,
            training={
                "steps": settings.max_steps,
                "tiles": settings.max_steps * settings.batch,
                "tissue_mm2": round(stream.area_mm2, 3),
                "slides": {g.source.name: round(g.area_um2 / 1e6, 3) for g in stream.grounds},
            },
            provenance=record,
        )
        run = Run(vit, settings, seed, _run_key(record, vit), described, state_path(out), resume, initial)
        try:
            net, log = distil(view_drawer(stream, settings, vit.patch_px), run, processes)
        finally:
            stream.close()
        if processes.first:
            with atomic_directory(out, overwrite, kind=ENCODER) as temporary:
                write_encoder_files(temporary, net, described, log)
                (temporary / "card.md").write_text(encoder_card(described, log))
            if run.state_dir.exists():
                shutil.rmtree(run.state_dir)
            print_message(f"pretraining: done → {out}")
        processes.wait()


def _sized(preset: str, settings: PretrainConfig) -> ViTConfig:
    if preset not in VIT_PRESETS:
        raise UsageError(f"unknown preset {preset!r}", hint="one of " + ", ".join(VIT_PRESETS))
    vit = VIT_PRESETS[preset]
    changed = {"grid": max(1, settings.global_px // vit.patch_px)}
    if settings.registers is not None:
        changed["registers"] = settings.registers
    return vit.model_copy(update=changed)


def _check_sizes(vit: ViTConfig, settings: PretrainConfig) -> None:
    for name in ("global_px", "local_px"):
        side = getattr(settings, name)
        if side % vit.patch_px:
            raise UsageError(
                f"pretraining config: {name} {side} is no multiple of the patch of {vit.patch_px} px",
                hint=f"for instance {max(1, round(side / vit.patch_px)) * vit.patch_px}",
            )


def _run_key(record: dict, vit: ViTConfig) -> str:
    """Digest of everything that a run's weights depend on; an output of other sizes is another run."""
    settings = {k: v for k, v in record["settings"].items() if k not in _MEANS}
    contents = [found["sha256"] for found in record["inputs"].values()]
    described = [settings, contents, record["seed"], vit.model_dump()]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()

"""One loop: draw views, let the student follow the teacher and the teacher the student, keep a log, save a state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from focus_cli.core.distributed.processes import Processes
from focus_cli.core.errors import FocusError, UsageError
from focus_cli.core.optimisers import AdamW
from focus_cli.core.progress import task
from focus_cli.core.random import stream
from focus_cli.histology.encoders.folder import EncoderDescription
from focus_cli.histology.encoders.vit import ViT
from focus_cli.histology.encoders.vit_config import ViTConfig
from focus_cli.histology.pretraining import schedules
from focus_cli.histology.pretraining.augment import Views
from focus_cli.histology.pretraining.batches import Batch, batches
from focus_cli.histology.pretraining.config import PretrainConfig
from focus_cli.histology.pretraining.diagnostics import diagnose
from focus_cli.histology.pretraining.state import load_state, save_state
from focus_cli.histology.pretraining.step import PARTS, Assigner, Losses, compute_losses
from focus_cli.histology.pretraining.students import follow, make_pair, parameter_groups

LOG_EVERY = 20
FIGURES = ("target_entropy", "usage_entropy", "feature_std", "effective_rank")
COLUMNS = ("step", "learning_rate", "momentum", "temperature", *PARTS, "divergence", "gradient", *FIGURES)


@dataclass(frozen=True)
class Run:
    """What a run is, besides its data.

    Attributes
    ----------
    key
        Names the run that may continue a saved state.
    encoder
        Description of the result.
    state_dir
        Where the state is kept, or None to keep none.
    """

    vit: ViTConfig
    config: PretrainConfig
    seed: int
    key: str
    encoder: EncoderDescription
    state_dir: Path | None = None
    resume: bool = False
    initial: ViT | None = None


def distil(draw: Callable[[int, int], Views], run: Run, processes: Processes) -> tuple[ViT, str]:
    """Pretrain a vision transformer.

    Parameters
    ----------
    draw
        ``draw(step, index)`` gives the views of tile `index` of a step; every process draws its own share.
    run
        Sizes, settings, seed, where the state is kept.
    processes
        Which part of the batch is this one's.

    Returns
    -------
    The teacher's vision transformer, and the log as CSV.

    Raises
    ------
    UsageError
        If the batch cannot be shared by the processes.
    FocusError
        If the loss stops being a number; the last good state is kept.
    """
    config, device = run.config, processes.device
    share, rest = divmod(config.batch, processes.world * config.accumulate)
    if rest or share * processes.world < 2:
        raise UsageError(
            f"a batch of {config.batch} cannot be shared by {processes.world} processes × {config.accumulate} parts",
            hint="set batch (--config) to a multiple of both, at least two tiles a part",
        )
    mine = range(processes.rank * share * config.accumulate, (processes.rank + 1) * share * config.accumulate)
    student, teacher = make_pair(run.vit, config, run.seed)
    if run.initial is not None:
        for net in (student, teacher):
            net.backbone.load_state_dict(run.initial.state_dict())
    nets = nn.ModuleDict({"student": student, "teacher": teacher, "assign": Assigner(config)}).to(device)
    optimiser = AdamW(parameter_groups(student), lr=config.learning_rate)
    start, log, running = 0, ",".join(COLUMNS) + "\n", []
    if run.resume and run.state_dir is not None and run.state_dir.exists():
        saved = load_state(run.state_dir, nets, optimiser, run.key)
        start, log, running = saved["step"], saved["log"], saved["running"]
    if config.compile:
        student.backbone.compile()
        teacher.backbone.compile()
    trained = DistributedDataParallel(student, broadcast_buffers=False) if processes.world > 1 else student
    stepper = _Stepper(trained, nets, optimiser, run, processes)
    steps = range(start, config.max_steps)
    drawn = batches(draw, steps, mine, threads=config.threads, parts=config.accumulate)
    bar = task("pretraining", config.max_steps) if processes.first else contextlib.nullcontext(_Silent())
    with bar as progress, contextlib.closing(drawn):
        progress.advance(start)
        for step, parts in zip(steps, drawn):
            row, last = stepper.take(step, parts)
            running.append(row)
            done = step + 1
            if done % LOG_EVERY == 0 or done == config.max_steps:
                mean = processes.mean(torch.tensor(running, dtype=torch.float64).mean(dim=0)).tolist()
                running = []
                log += _line(done, config, mean, diagnose(last.features, last.targets))
                progress.note(f"loss {mean[PARTS.index('total')]:.3f}")
            due = done % config.checkpoint_every == 0 and done < config.max_steps
            if processes.first and run.state_dir is not None and due:
                described = {"step": done, "key": run.key, "log": log, "running": running}
                save_state(run.state_dir, nets, optimiser, described, run.encoder, teacher.backbone)
            progress.advance()
    return teacher.backbone.cpu(), log


class _Silent:
    """A progress bar of a process that prints nothing."""

    def advance(self, n: float = 1) -> None: ...

    def note(self, text: str) -> None: ...


class _Stepper:
    """Takes one step of optimisation."""

    def __init__(
        self, trained: nn.Module, nets: nn.ModuleDict, optimiser: torch.optim.Optimizer, run: Run, processes: Processes
    ) -> None:
        self.trained, self.nets, self.optimiser = trained, nets, optimiser
        self.run, self.processes = run, processes
        student = nets["student"]
        self._prototypes = [student.class_head.prototypes, student.patch_head.prototypes]

    def take(self, step: int, parts: list[Batch]) -> tuple[list[float], Losses]:
        """Take a step; return means of the losses, the divergence and the gradient's norm, and the last part's."""
        config, student = self.run.config, self.nets["student"]
        rng = stream(self.run.seed, "pretrain/depth", step, self.processes.rank)
        torch.manual_seed(int(rng.integers(1 << 62)))  # stochastic depth
        decay = schedules.weight_decay(step, config)
        for group in self.optimiser.param_groups:
            group["lr"] = schedules.learning_rate(step, config)
            group["weight_decay"] = decay if group["decays"] else 0.0
        temperature = schedules.teacher_temperature(step, config)
        self.optimiser.zero_grad(set_to_none=True)
        rows = []
        for number, part in enumerate(parts):
            held = number + 1 < len(parts) and self.trained is not student
            with self.trained.no_sync() if held else contextlib.nullcontext():
                losses = compute_losses(
                    self.trained, self.nets["teacher"], self.nets["assign"], part, config, temperature,
                    self.processes.device,
                )  # fmt: skip
                (losses.total / len(parts)).backward()
            entropy = torch.special.entr(losses.targets).sum(dim=1).mean()
            values = (*(getattr(losses, part) for part in PARTS), losses.dino - entropy)
            rows.append([float(v.detach()) for v in values])
        mean = np.mean(rows, axis=0).tolist()
        if not np.isfinite(mean).all():
            raise FocusError(
                f"the loss is not a number at step {step}",
                hint=f"lower learning_rate; the last good state is in {self.run.state_dir}",
            )
        if step < config.freeze_prototypes * config.max_steps:
            for prototypes in self._prototypes:
                prototypes.grad = None
        norm = nn.utils.clip_grad_norm_(student.parameters(), config.clip)
        self.optimiser.step()
        follow(self.nets["teacher"], student, schedules.momentum(step, config))
        return [*mean, float(norm)], losses


def _line(done: int, config: PretrainConfig, mean: list[float], figures: dict[str, Any]) -> str:
    step = done - 1
    rate, momentum = schedules.learning_rate(step, config), schedules.momentum(step, config)
    head = f"{done},{rate:.6g},{momentum:.6g},{schedules.teacher_temperature(step, config):.4f},"
    return head + ",".join(f"{v:.5f}" for v in [*mean, *(figures[name] for name in FIGURES)]) + "\n"

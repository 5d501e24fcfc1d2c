"""One loop: draw views, step through their locations, keep a log, save a state, alone or with other processes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from focus_cli.core.distributed.parallel import Alone, Replicated
from focus_cli.core.distributed.processes import Processes
from focus_cli.core.distributed.stop import StopRequest, stop_on_signal
from focus_cli.core.errors import FocusError, Preempted
from focus_cli.core.optimisers import AdamW
from focus_cli.core.progress import task
from focus_cli.core.random import stream
from focus_cli.model.network import FocusNet
from focus_cli.model.training.checkpoint import save_state
from focus_cli.model.training.config import TrainingConfig, share_of_views
from focus_cli.model.training.objective import compute_losses
from focus_cli.model.training.source import ViewSource, drawn_ahead
from focus_cli.model.training.views import TrainingView

LOG_EVERY = 20
# First step, log, losses since the log's last line.
START = (0, "step,learning_rate,prior,counts,flow,total\n", ())
WARMUP_SHARE = 0.1
CLIP = 1.0


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then a cosine to a hundredth."""
    warmup = max(1, int(WARMUP_SHARE * config.max_steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, config.max_steps - warmup)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def make_optimiser(net: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW over what is learnt by gradient; maps fitted in closed form are left out."""
    learnt = [p for p in net.parameters() if p.requires_grad]
    return AdamW(learnt, lr=config.learning_rate, weight_decay=config.weight_decay)


class _ViewLoss(nn.Module):
    """The loss of a batch of a view as the output of a module, which is what processes share the gradient of."""

    def __init__(self, net: FocusNet, config: TrainingConfig) -> None:
        super().__init__()
        self.net, self._config = net, config

    def forward(self, view: TrainingView, batch: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The total, and its parts as the log names them."""
        losses = compute_losses(self.net, view, batch, self._config, generator)
        figures = (losses.prior, losses.counts, losses.flow, losses.total)
        return losses.total, torch.stack([x.detach() for x in figures])


def _stream(seed: int, name: str, index: int, part: int) -> np.random.Generator:
    """Random numbers of one view or step, so that a resumed run meets the same ones; `part` of a step's views."""
    return stream(seed, name, index, part) if part else stream(seed, name, index)


class _Views:
    """The views of every step that fall to one process.

    Views last for ``steps_per_view`` steps; a step takes ``views_per_step`` of them, each process its share in order.
    """

    def __init__(self, source: ViewSource, config: TrainingConfig, seed: int, processes: Processes) -> None:
        self._source, self._config, self._seed = source, config, seed
        self.share = share_of_views(config, processes.world)
        self.parts = range(processes.rank * self.share, (processes.rank + 1) * self.share)

    def from_step(self, start: int) -> Iterator[list[TrainingView]]:
        """The process's views of every step, in the order of its parts."""
        config, share = self._config, self.share
        first, last = start // config.steps_per_view, (config.max_steps - 1) // config.steps_per_view
        drawn = drawn_ahead(
            self._draw, range(first * share, (last + 1) * share), workers=config.view_workers, ahead=share
        )
        with contextlib.closing(drawn):
            views: list[TrainingView] = []
            for step in range(start, config.max_steps):
                if not views or step % config.steps_per_view == 0:
                    views = [next(drawn) for _ in range(share)]
                yield views

    def _draw(self, item: int) -> TrainingView:
        index, part = divmod(item, self.share)
        return self._source.draw(_stream(self._seed, "train/views", index, self.parts[part]))


def _trainable(net: FocusNet, optimiser: torch.optim.Optimizer, config: TrainingConfig, processes: Processes) -> Alone:
    """The network's loss, to be trained by the processes of this run."""
    loss = _ViewLoss(net, config)
    if processes.world == 1:
        return Alone(loss, optimiser)
    if config.parallel == "ddp":
        return Replicated(loss, optimiser)
    from focus_cli.core.distributed.sharded import Sharded

    return Sharded(
        loss, optimiser, processes, lambda split: make_optimiser(split, config), lambda split: split.net.blocks
    )


@contextlib.contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Deterministic algorithms on a CPU: with several threads others add gradients up in an order that varies.

    One thread gives the same bytes with and without. On GPUs they would cost time, and operations may lack them.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled


def run_loop(
    net: FocusNet,
    optimiser: torch.optim.Optimizer,
    source: ViewSource,
    config: TrainingConfig,
    seed: int,
    *,
    processes: Processes | None = None,
    state: tuple[int, str, Sequence] = START,
    state_dir: Path | None = None,
    key: str = "",
    label: str = "training",
) -> str:
    """Take the steps of `config`, from `state` (first step, log, losses since its last line); return the log.

    The state is saved into `state_dir` as it goes, under `key`; by the first of the processes alone.

    Raises
    ------
    UsageError
        If the processes cannot share the views of a step evenly.
    FocusError
        If the loss stops being a number.
    Preempted
        If a signal requested a stop and there is a `state_dir`; the state after the last whole step is in it.
    """
    processes = processes or Processes(device=str(next(net.parameters()).device))
    start, log, running = state
    running = list(running)
    views = _Views(source, config, seed, processes)
    trained = _trainable(net, optimiser, config, processes)
    stoppable = stop_on_signal() if state_dir is not None else contextlib.nullcontext(StopRequest())

    def save(done: int) -> None:
        whole, moments = trained.state()
        if processes.first:
            weights = {name.removeprefix("net."): value for name, value in whole.items()}
            save_state(state_dir, weights, moments, done, key, log, running)

    steps = views.from_step(start)
    device = next(net.parameters()).device
    with (
        _repeatable(device),
        task(label, config.max_steps) as progress,
        stoppable as stop,
        contextlib.closing(steps),
    ):
        stop.at_once = False
        progress.advance(start)
        for step, mine in enumerate(steps, start):
            rate = learning_rate(step, config)
            for group in trained.optimiser.param_groups:
                group["lr"] = rate
            figures = [
                trained.backward(_batch(view, config, seed, step, part), views.share, last=part == views.parts[-1])
                for part, view in zip(views.parts, mine)
            ]
            losses, asked = _agree(figures, stop, processes)
            if not np.isfinite(losses[-1]):
                raise FocusError(
                    f"the loss is not a number at step {step}",
                    hint=f"lower learning_rate; the last good state is in {state_dir}" if state_dir else None,
                )
            trained.step(CLIP)
            running.append(losses)
            done = step + 1
            if done % LOG_EVERY == 0 or done == config.max_steps:
                mean = np.mean(running, axis=0)
                running = []
                log += f"{done},{rate:.6g}," + ",".join(f"{value:.5f}" for value in mean) + "\n"
                progress.note(f"loss {mean[-1]:.3f}")
            if done < config.max_steps and state_dir is not None and (asked or done % config.checkpoint_every == 0):
                save(done)
            progress.advance()
            if asked and done < config.max_steps:
                processes.wait()  # until the first has written
                raise Preempted(
                    f"{label} was stopped after step {done} of {config.max_steps}; its state is in {state_dir}",
                    hint="the same command with --resume continues it",
                )
    trained.finish()
    return log


def _batch(
    view: TrainingView, config: TrainingConfig, seed: int, step: int, part: int
) -> tuple[TrainingView, np.ndarray, torch.Generator]:
    """Inputs of a step from a view: rows of its locations, and the generator of the noise; dropout is seeded."""
    rng = _stream(seed, "train/steps", step, part)
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
    torch.manual_seed(int(rng.integers(1 << 62)))  # dropout
    size = min(max(config.batch_points // view.points.shape[1], 1), view.n_locations)
    return view, np.sort(rng.choice(view.n_locations, size, replace=False)), generator


def _agree(figures: list[Tensor], stop: StopRequest, processes: Processes) -> tuple[list[float], bool]:
    """Losses of a step over all its views, and whether any process is to stop."""
    own = torch.stack(figures).double().mean(dim=0)
    said = torch.cat([own, own.new_tensor([float(bool(stop))])])
    *losses, asked = processes.mean(said).tolist()
    return losses, asked > 0

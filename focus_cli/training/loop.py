"""One loop: draw a view, step through its locations, keep a log, save a state."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from focus_cli.errors import FocusError
from focus_cli.models import FocusNet
from focus_cli.progress import task
from focus_cli.training.ahead import drawn_ahead
from focus_cli.training.checkpoint import save_state
from focus_cli.training.config import TrainingConfig
from focus_cli.training.objective import compute_losses
from focus_cli.training.views import TrainingView, ViewMaker

LOG_EVERY = 20
# First step, log, losses since the log's last line.
START = (0, "step,learning_rate,prior,counts,flow,total\n", ())
WARMUP_SHARE = 0.1


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then a cosine to a hundredth."""
    warmup = max(1, int(WARMUP_SHARE * config.max_steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, config.max_steps - warmup)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def make_optimiser(net: FocusNet, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW over what is learnt by gradient; maps fitted in closed form are left out."""
    learnt = [p for p in net.parameters() if p.requires_grad]
    return torch.optim.AdamW(learnt, lr=config.learning_rate, weight_decay=config.weight_decay)


def run_loop(
    net: FocusNet,
    optimiser: torch.optim.Optimizer,
    makers: Sequence[ViewMaker],
    config: TrainingConfig,
    seed: int,
    *,
    state: tuple[int, str, Sequence] = START,
    state_dir: Path | None = None,
    key: str = "",
    label: str = "training",
) -> str:
    """Take the steps of `config`, from `state` (first step, log, losses since its last line); return the log.

    The state is saved into `state_dir` as it goes, under `key`.

    Raises
    ------
    FocusError
        If the loss stops being a number.
    """
    start, log, running = state
    running = list(running)
    weights = np.sqrt([len(m.measured) for m in makers])

    def draw(index: int) -> TrainingView:
        # Every view has its own stream, so that a resumed run meets the same views.
        rng = np.random.default_rng([seed, 1, index])
        return makers[rng.choice(len(makers), p=weights / weights.sum())].draw(rng)

    last = (config.max_steps - 1) // config.steps_per_view
    views = drawn_ahead(draw, range(start // config.steps_per_view, last + 1))
    view = None
    with task(label, config.max_steps) as progress, contextlib.closing(views):
        progress.advance(start)
        for step in range(start, config.max_steps):
            if view is None or step % config.steps_per_view == 0:
                view = next(views)
            rng = np.random.default_rng([seed, 2, step])
            generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
            torch.manual_seed(int(rng.integers(1 << 62)))  # dropout
            size = min(max(config.batch_points // view.points.shape[1], 1), view.n_locations)
            batch = np.sort(rng.choice(view.n_locations, size, replace=False))
            rate = learning_rate(step, config)
            for group in optimiser.param_groups:
                group["lr"] = rate
            losses = compute_losses(net, view, batch, config, generator)
            if not torch.isfinite(losses.total):
                raise FocusError(
                    f"the loss is not a number at step {step}",
                    hint=f"lower learning_rate; the last good state is in {state_dir}" if state_dir else None,
                )
            optimiser.zero_grad(set_to_none=True)
            losses.total.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            running.append([float(x.detach()) for x in (losses.prior, losses.counts, losses.flow, losses.total)])
            done = step + 1
            if done % LOG_EVERY == 0 or done == config.max_steps:
                mean = np.mean(running, axis=0)
                running = []
                log += f"{done},{rate:.6g}," + ",".join(f"{value:.5f}" for value in mean) + "\n"
                progress.note(f"loss {mean[-1]:.3f}")
            if state_dir is not None and done % config.checkpoint_every == 0 and done < config.max_steps:
                save_state(state_dir, net, optimiser, done, key, log, running)
            progress.advance()
    return log

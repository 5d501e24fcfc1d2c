"""Batches of views, drawn by threads while the network learns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from focus_cli.core.random import stream
from focus_cli.histology.pretraining.augment import Views, make_views
from focus_cli.histology.pretraining.config import PretrainConfig
from focus_cli.histology.pretraining.tiles import TileStream

AHEAD = 2  # batches that are drawn before they are requested


@dataclass(frozen=True)
class Batch:
    """Views of B tiles: uint8 (2B, h, w, 3) and (nB, h', w', 3), view by view; bool (2B, patches); their texture."""

    large: Tensor
    small: Tensor
    mask: Tensor
    texture: Tensor


def view_drawer(tiles: TileStream, config: PretrainConfig, patch_px: int) -> Callable[[int, int], Views]:
    """Return the function that draws the views of tile (step, index)."""

    def draw(step: int, index: int) -> Views:
        rng = stream(tiles.seed, "pretrain/views", step, index)
        return make_views(tiles.draw(step, index), config, patch_px, rng)

    return draw


def batches(
    draw: Callable[[int, int], Views], steps: range, indices: Sequence[int], *, threads: int, parts: int = 1
) -> Iterator[list[Batch]]:
    """Yield every step's batch in `parts` equal parts. Order and content do not depend on the threads."""
    with ThreadPoolExecutor(threads, thread_name_prefix="focus-tiles") as pool:
        coming: deque[list[Future]] = deque()
        waiting = iter(steps)

        def submit() -> None:
            for step in waiting:
                coming.append([pool.submit(draw, step, index) for index in indices])
                return

        try:
            for _ in range(AHEAD):
                submit()
            while coming:
                drawn = [future.result() for future in coming.popleft()]
                submit()
                size = len(drawn) // parts
                yield [_together(drawn[part * size : (part + 1) * size]) for part in range(parts)]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _together(views: list[Views]) -> Batch:
    def by_view(name: str) -> Tensor:
        stacked = np.stack([getattr(v, name) for v in views], axis=1)
        return torch.from_numpy(stacked.reshape(-1, *stacked.shape[2:]))

    return Batch(by_view("globals"), by_view("locals"), by_view("mask"), by_view("texture"))


def normalise(images: Tensor, config: PretrainConfig, device: str | torch.device) -> Tensor:
    """Turn uint8 (n, h, w, 3) into normalised float32 (n, 3, h, w) on `device`."""
    images = images.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (config.mean, config.std))
    return ((images - mean) / std).contiguous()

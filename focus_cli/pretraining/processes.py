"""The processes of one run: one, or as many as torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from focus_cli.errors import UsageError


@dataclass(frozen=True)
class Processes:
    """Which of how many this one is, and where it computes."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all are here."""
        if self.world > 1:
            dist.barrier()

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Average a tensor over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values


@contextmanager
def started_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun announces in the environment; one alone otherwise.

    Raises
    ------
    UsageError
        If the environment announces several and is incomplete.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(device=device)
        return
    try:
        rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"WORLD_SIZE is {world}, and RANK is not set", hint="start several processes with torchrun"
        ) from error
    if device.startswith("cuda"):
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    already = dist.is_initialized()
    if not already:
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Processes(rank, world, device)
    finally:
        if not already:
            dist.destroy_process_group()

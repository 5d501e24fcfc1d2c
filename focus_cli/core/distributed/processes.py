"""The processes of one run: one, or as many as torchrun started."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from focus_cli.core.errors import FocusError, MissingResourceError, Preempted, UsageError

T = TypeVar("T")

# The others wait while the first fits a prior or writes a model; who starts them ends them when one fails.
PATIENCE = timedelta(hours=6)
WATCH_S = 1.0


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
        """Wait until all processes are here."""
        if self.world > 1:
            dist.barrier()

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Average a tensor over all processes, in place."""
        self.sum(values)
        if self.world > 1:
            values /= self.world
        return values

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives in the first process, in all of them; a refusal of the first is one of all.

        What is fitted in closed form differs in its last bits between processors; the processes of a run must not.
        """
        if self.world == 1:
            return make()
        made: list = [None, None]
        if self.first:
            try:
                made[0] = make()
            except FocusError as error:
                made[1] = error
        dist.broadcast_object_list(made, device=torch.device(self.device))
        if made[1] is not None:
            raise made[1]
        return made[0]

    @contextlib.contextmanager
    def only_first_speaks(self) -> Iterator[None]:
        """Suppress what the others print on standard error."""
        if self.first:
            yield
            return
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            yield


@contextlib.contextmanager
def started_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun announces in the environment; one alone otherwise.

    Raises
    ------
    UsageError
        If the environment announces several and is incomplete.
    MissingResourceError
        If there are fewer GPUs than processes on this node.
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
        if local >= torch.cuda.device_count():
            raise MissingResourceError(
                f"process {local + 1} of this node has no GPU: PyTorch sees {torch.cuda.device_count()}",
                hint="start as many processes on a node as it has GPUs, or pass --device cpu",
            )
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    already = dist.is_initialized()
    if not already:
        _end_with_parent()
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
    try:
        yield Processes(rank, world, device)
    except Preempted:  # all stop together; after any other error the others may never come
        if not already:
            dist.destroy_process_group()
        raise
    if not already:
        dist.destroy_process_group()


def _end_with_parent() -> None:
    """Have this process stopped when who started it is gone, killed before it could pass on a signal."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="focus-parent", daemon=True).start()

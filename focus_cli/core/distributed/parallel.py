"""One network, trained by one process or by several: alone, or copied to all (DDP); split over all: `sharded`.

Every process computes the losses of one share of a step's views. Gradients are averaged over the processes when the
last of them is done, so that a step is that of one process with all the views.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class Alone:
    """A loss that one process trains; calling it gives the loss of one share of a step.

    Parameters
    ----------
    loss
        Its forward gives a scalar to be minimised and a tensor of figures without gradient.
    optimiser
        Of its parameters.
    """

    def __init__(self, loss: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        self.loss, self.optimiser = loss, optimiser

    def backward(self, inputs: tuple, shares: int, last: bool) -> Tensor:
        """Add the gradient of one of `shares` losses to the step's; return the figures."""
        with self._held(last):
            total, figures = self._forward(inputs)
            (total / shares).backward()
        return figures

    def step(self, clip: float) -> None:
        """Take the step, with the gradient's norm at most `clip`, and forget the gradient."""
        nn.utils.clip_grad_norm_(self.loss.parameters(), clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state(self) -> tuple[dict[str, Tensor], dict[int, dict[str, Any]]]:
        """Whole tensors of the loss and of the optimiser's state; all processes must call it together."""
        return self.loss.state_dict(), self.optimiser.state_dict()["state"]

    def finish(self) -> None:
        """Leave what was learnt in the loss that was given; all processes must call it together."""

    def _forward(self, inputs: tuple) -> tuple[Tensor, Tensor]:
        return self.loss(*inputs)

    def _held(self, last: bool) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()


class Replicated(Alone):
    """A copy in every process (PyTorch's DistributedDataParallel)."""

    def __init__(self, loss: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        super().__init__(loss, optimiser)
        # A view without an image leaves the layers of the image alone, in this process and not in the next.
        self._copied = DistributedDataParallel(loss, find_unused_parameters=True)

    def _forward(self, inputs: tuple) -> tuple[Tensor, Tensor]:
        return self._copied(*inputs)

    def _held(self, last: bool) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if last else self._copied.no_sync()

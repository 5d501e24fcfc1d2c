"""One network split over all processes (FSDP2); a separate module, since what it needs of PyTorch is slow to import."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from focus_cli.core.distributed.parallel import Alone
from focus_cli.core.distributed.processes import Processes

MakeOptimiser = Callable[[nn.Module], torch.optim.Optimizer]


class Sharded(Alone):
    """Weights, gradients and the optimiser's state split over the processes (PyTorch's FSDP2, ``fully_shard``).

    Parameters
    ----------
    loss, optimiser
        As for one process, with the state from which to resume; they wait on the CPU until `finish`.
    make
        Makes the optimiser of the split parameters.
    layers
        Finds the submodules that are gathered one at a time.
    """

    def __init__(
        self,
        loss: nn.Module,
        optimiser: torch.optim.Optimizer,
        processes: Processes,
        make: MakeOptimiser,
        layers: Callable[[nn.Module], Iterable[nn.Module]],
    ) -> None:
        self._whole, self._processes = loss, processes
        split = copy.deepcopy(loss)
        loss.to("cpu")
        mesh = init_device_mesh(processes.device.partition(":")[0], (processes.world,))
        for layer in layers(split):
            fully_shard(layer, mesh=mesh)
        fully_shard(split, mesh=mesh)
        super().__init__(split, make(split))
        self._learnt = [p for group in self.optimiser.param_groups for p in group["params"]]
        names = {parameter: name for name, parameter in split.named_parameters()}
        self._index = {names[parameter]: i for i, parameter in enumerate(self._learnt)}
        self._used = torch.zeros(len(self._learnt), device=processes.device)
        self._take_over(optimiser)

    def _take_over(self, optimiser: torch.optim.Optimizer) -> None:
        state = optimiser.state_dict()["state"]
        for index, found in state.items():
            like = self._learnt[index]
            state[index] = {
                name: distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
                if value.shape == like.shape
                else value
                for name, value in found.items()
            }
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        optimiser.state.clear()

    def _forward(self, inputs: tuple) -> tuple[Tensor, Tensor]:
        total, figures = self.loss(*inputs)
        # Gradients are averaged a group at a time, and all processes must bring the same ones: what this view leaves
        # alone gets a gradient of zero here, and none in the end if every view left it alone.
        reached = parameters_behind(total)
        for name, parameter in self.loss.named_parameters():
            index = self._index.get(name)
            if index is None:
                continue
            if isinstance(parameter, DTensor) or parameter in reached:  # layers of their own take part in every view
                self._used[index] = 1
            else:
                total = total + 0 * parameter.sum()
        return total, figures

    @contextlib.contextmanager
    def _held(self, last: bool) -> Iterator[None]:
        cast(Any, self.loss).set_requires_gradient_sync(last)
        yield

    def step(self, clip: float) -> None:
        for parameter, used in zip(self._learnt, self._processes.sum(self._used).tolist()):
            if not used:
                parameter.grad = None
        self._used.zero_()
        super().step(clip)

    def state(self) -> tuple[dict[str, Tensor], dict[int, dict[str, Any]]]:
        state = self.optimiser.state_dict()["state"]
        return self._gathered(self.loss.state_dict()), {i: self._gathered(found) for i, found in state.items()}

    def finish(self) -> None:
        self._whole.load_state_dict({name: _whole(value).cpu() for name, value in self.loss.state_dict().items()})

    def _gathered(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Whole tensors on the CPU of the first process; one at a time, so that no other holds them all."""
        whole = {}
        for name, value in tensors.items():
            value = _whole(value)
            if self._processes.first:
                whole[name] = value.cpu()
        return whole


def parameters_behind(value: Tensor) -> set[Tensor]:
    """Leaves that the gradient of a value reaches."""
    found, met, todo = set(), set(), [value.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in met:
            continue
        met.add(node)
        if hasattr(node, "variable"):
            found.add(node.variable)
        todo.extend(following for following, _ in node.next_functions)
    return found


def _whole(value: Any) -> Any:
    """A tensor that is split over the processes, in one piece; all must call it together. Others as they are."""
    return value.full_tensor() if isinstance(value, DTensor) else value

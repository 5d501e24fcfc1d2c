"""The state of an unfinished training: what a document and the tensors beside it hold of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core.storage.damage import damaged
from focus_cli.core.storage.schema import Count, Document
from focus_cli.core.storage.tensors import read_tensors

if TYPE_CHECKING:
    import torch
    from torch import nn


class StateDocument(Document):
    """``state.json`` of an unfinished training."""

    step: Count
    key: str
    log: str
    running: list[Any]


def state_tensors(
    net: Mapping[str, torch.Tensor], optimiser: Mapping[int, Mapping[str, Any]]
) -> dict[str, torch.Tensor]:
    """Return the tensors of a state by their names in its file: ``net.NAME`` and ``optimiser.NUMBER.FIELD``.

    Parameters
    ----------
    net
        Whole tensors by their names in the network.
    optimiser
        Its state by the number of the parameter, as in ``optimiser.state_dict()["state"]``.
    """
    import torch

    tensors = {f"net.{name}": value.detach().cpu().contiguous() for name, value in net.items()}
    for index, state in optimiser.items():
        for name, value in state.items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value).cpu().contiguous()
    return tensors


def restore_tensors(path: Path, net: nn.Module, optimiser: torch.optim.Optimizer, hint: str) -> None:
    """Restore a network and its optimiser in place from the folder of a state.

    Raises
    ------
    BadInputError
        If the tensors cannot be read or do not fit.
    """
    import torch

    arrays = read_tensors(path / "state.safetensors", hint=hint)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    try:
        net.load_state_dict({k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")})
        optimiser.load_state_dict(
            {"state": _optimiser_state(tensors), "param_groups": optimiser.state_dict()["param_groups"]}
        )
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise damaged(path, error, hint) from error


def _optimiser_state(tensors: dict[str, torch.Tensor]) -> dict[int, dict[str, torch.Tensor]]:
    """What an optimiser keeps of every parameter, by its number, from tensors named ``optimiser.NUMBER.FIELD``.

    Raises
    ------
    ValueError
        If a name is another.
    """
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, field = name.split(".", 2)
            state.setdefault(int(index), {})[field] = value
    return state

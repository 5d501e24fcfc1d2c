"""The state of an unfinished training: what a document and the tensors beside it hold of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from focus_cli.core.storage.schema import Count, Document

if TYPE_CHECKING:
    import torch


class StateDocument(Document):
    """``state.json`` of an unfinished training."""

    step: Count
    key: str
    log: str
    running: list[Any]


def optimiser_state(tensors: dict[str, torch.Tensor]) -> dict[int, dict[str, torch.Tensor]]:
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

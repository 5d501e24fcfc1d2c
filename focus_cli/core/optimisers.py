"""Optimisers of PyTorch for training that is not compiled."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=type[Optimizer])
_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def without_compiler(kind: Kind) -> Kind:
    """Return the same optimiser without what it does for ``torch.compile``.

    PyTorch wraps methods of its optimisers for the compiler. Their first call imports ``torch._dynamo``, which takes
    time in every process that trains. Steps are the same, bit by bit.

    Parameters
    ----------
    kind
        Such as `torch.optim.AdamW`.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {**methods, "step": step, "__doc__": kind.__doc__})  # type: ignore[return-value]


Adam = without_compiler(torch.optim.Adam)
AdamW = without_compiler(torch.optim.AdamW)

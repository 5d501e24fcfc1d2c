"""Where to compute, and where tensors lie."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch

from focus_cli.core.errors import MissingResourceError

T = TypeVar("T")


def choose_device(name: str) -> str:
    """Resolve ``auto``; refuse a GPU that is not there.

    Raises
    ------
    MissingResourceError
        If ``cuda`` is requested and PyTorch sees no CUDA device.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise MissingResourceError(
            "--device cuda: PyTorch sees no CUDA device", hint="use --device auto, or see `focus doctor`"
        )
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def to_device(value: T, device: torch.device | str) -> T:
    """Move every tensor of a (nested) dataclass or list to `device`; other values stay as they are."""
    if isinstance(value, torch.Tensor):
        return cast(T, value.to(device))
    if isinstance(value, list):
        moved: dict[int, object] = {}  # equal entries stay one tensor
        return cast(T, [moved.setdefault(id(item), to_device(item, device)) for item in value])
    if is_dataclass(value):
        moved_fields = {f.name: to_device(getattr(value, f.name), device) for f in fields(value)}
        return cast(T, replace(cast(Any, value), **moved_fields))
    return value

"""Where to compute."""

from __future__ import annotations

import torch

from focus_cli.errors import MissingResourceError


def choose_device(name: str) -> str:
    """Resolve ``auto``; refuse a GPU that is not there.

    Raises
    ------
    MissingResourceError
        If ``cuda`` is asked for and PyTorch sees no CUDA device.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise MissingResourceError(
            "--device cuda: PyTorch sees no CUDA device", hint="use --device auto, or see `focus doctor`"
        )
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name

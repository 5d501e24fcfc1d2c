"""The unfinished run on disk: all that a later process needs to go on to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from focus_cli.encoders.folder import EncoderDescription, write_encoder_files
from focus_cli.errors import BadInputError
from focus_cli.store import atomic_directory
from focus_cli.store.kinds import STATE

_HINT = "remove it and pretrain without --resume"


def state_path(out: Path) -> Path:
    """Where an unfinished run keeps its state: beside the encoder that it will become."""
    return Path(out).with_name(f"{Path(out).name}.checkpoint")


def save_state(
    path: Path,
    nets: nn.Module,
    optimiser: torch.optim.Optimizer,
    described: dict[str, Any],
    encoder: EncoderDescription,
    backbone: nn.Module,
) -> None:
    """Write a resumable state, and the encoder as it is by now, so that it can be looked at."""
    tensors = {f"net.{name}": value.detach().cpu().contiguous() for name, value in nets.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value).cpu().contiguous()
    with atomic_directory(path, overwrite=True, kind=STATE) as temporary:
        (temporary / "state.safetensors").write_bytes(save(tensors))
        (temporary / "state.json").write_text(json.dumps(described))
        write_encoder_files(temporary, backbone, encoder, described["log"])


def load_state(path: Path, nets: nn.Module, optimiser: torch.optim.Optimizer, key: str) -> dict[str, Any]:
    """Restore a state in place; return what was saved with it (``step``, ``log``, ``running``).

    Raises
    ------
    BadInputError
        If the state belongs to another run or is damaged.
    """
    try:
        described = json.loads((path / "state.json").read_text())
        found = described["key"]
        tensors = load_file(path / "state.safetensors")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadInputError(f"{path} is damaged: {error}", hint=_HINT) from error
    if found != key:
        raise BadInputError(f"{path} belongs to a run with other slides or settings", hint=_HINT)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, field = name.split(".", 2)
            state.setdefault(int(index), {})[field] = value
    try:
        nets.load_state_dict({k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")})
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        described["step"], described["log"], described["running"]
    except (RuntimeError, ValueError, KeyError) as error:
        raise BadInputError(f"{path} is damaged: {str(error).splitlines()[0]}", hint=_HINT) from error
    return described

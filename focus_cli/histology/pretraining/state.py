"""The unfinished run on disk: all that a later process needs to resume to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import atomic_directory
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.kinds import STATE
from focus_cli.core.storage.schema import validated
from focus_cli.core.storage.training_state import StateDocument, restore_tensors, state_tensors
from focus_cli.histology.encoders.folder import EncoderDescription, write_encoder_files

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
    tensors = state_tensors(nets.state_dict(), optimiser.state_dict()["state"])
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
    described = read_json_object(path / "state.json")
    validated(StateDocument, described, path / "state.json", _HINT)
    if described["key"] != key:
        raise BadInputError(f"{path} belongs to a run with other slides or settings", hint=_HINT)
    restore_tensors(path, nets, optimiser, _HINT)
    return described

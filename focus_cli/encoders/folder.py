"""An encoder on disk: ``encoder.json``, ``encoder.safetensors`` and the log. Nothing in it can run code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from focus_cli import keys
from focus_cli.errors import BadInputError
from focus_cli.models.vit import ViT
from focus_cli.models.vit_config import ViTConfig
from focus_cli.store import require_files

SCHEMA_VERSION = 1
ENCODER_WEIGHTS = "encoder.safetensors"
TRAINING_LOG = "training.csv"


@dataclass(frozen=True)
class EncoderDescription:
    """What ``encoder.json`` says of a vision transformer.

    Attributes
    ----------
    name
        For people and for the names of features: ``"vit-tiny"``.
    config
        Sizes, as `ViTConfig` takes them.
    mpp, tile_px
        Scale and side of the tiles that it was trained on: µm per px, px.
    mean, std
        Of RGB in 0..1, for normalisation.
    licence
        Terms of the weights: the trainer's to say.
    training
        Steps, slides, last figures of the log.
    """

    name: str
    config: dict[str, Any]
    mpp: float
    tile_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str = "not stated"
    training: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def is_encoder(path: Path) -> bool:
    """Whether `path` is a folder written by ``focus pretrain``."""
    return (Path(path) / keys.ENCODER_JSON).is_file()


def write_encoder_files(folder: Path, backbone: nn.Module, description: EncoderDescription, log: str) -> None:
    """Write an encoder into a folder that exists."""
    tensors = {name: value.detach().float().cpu().contiguous() for name, value in backbone.state_dict().items()}
    (folder / ENCODER_WEIGHTS).write_bytes(save(tensors))
    described = {"schema_version": SCHEMA_VERSION, **asdict(description)}
    (folder / keys.ENCODER_JSON).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
    (folder / TRAINING_LOG).write_text(log)


def read_encoder(path: Path) -> tuple[ViT, EncoderDescription]:
    """Read an encoder; its network is in evaluation mode, on the CPU.

    Raises
    ------
    MissingResourceError
        If the folder or one of its files is not there.
    BadInputError
        If a file is damaged, of another version, or its tensors do not fit its description.
    """
    path = Path(path)
    require_files(path, (keys.ENCODER_JSON, ENCODER_WEIGHTS), "encoder", "pretrain")
    hint = "copy it again, or pretrain it again"
    try:
        raw = json.loads((path / keys.ENCODER_JSON).read_text())
        version = raw.pop("schema_version")
        if version != SCHEMA_VERSION:
            raise BadInputError(f"{path} has schema version {version}, this FOCUS reads {SCHEMA_VERSION}", hint=hint)
        description = EncoderDescription(**raw)
        _check(description)
        net = ViT(ViTConfig(**description.config))
        tensors = load_file(path / ENCODER_WEIGHTS)
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise BadInputError(f"{path}: weights are not all numbers", hint=hint)
        net.load_state_dict(tensors)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise BadInputError(f"{path} is damaged: {str(error).splitlines()[0]}", hint=hint) from error
    return net.eval(), description


def _check(description: EncoderDescription) -> None:
    """Raise ValueError where the figures make no sense."""
    three = all(len(v) == 3 for v in (description.mean, description.std))
    if not three or not min(*description.std, description.mpp) > 0:
        raise ValueError("mpp, mean or std make no sense")
    patch = description.config["patch_px"]
    if description.tile_px < patch or description.tile_px % patch:
        raise ValueError(f"tiles of {description.tile_px} px do not divide into patches of {patch} px")

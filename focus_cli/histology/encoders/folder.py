"""An encoder on disk: ``encoder.json``, ``encoder.safetensors`` and the log. Nothing in it can run code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors.torch import save
from torch import nn

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import require_files
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.schema import Document, MicronsPerPixel, Name, Rgb, RgbSpread, Text, validated
from focus_cli.core.storage.tensors import Expected, read_tensors
from focus_cli.histology.encoders.vit import ViT
from focus_cli.histology.encoders.vit_config import ViTConfig

SCHEMA_VERSION = 1
ENCODER_WEIGHTS = "encoder.safetensors"
TRAINING_LOG = "training.csv"


@dataclass(frozen=True)
class EncoderDescription:
    """Content of ``encoder.json`` of a vision transformer.

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
        Terms of the weights, as given by the trainer.
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


class FolderDocument(Document):
    """``encoder.json``, as `EncoderDescription`."""

    name: Name
    config: dict[str, Any]
    mpp: MicronsPerPixel
    tile_px: int = Field(ge=1, le=1 << 14)
    mean: Rgb
    std: RgbSpread
    licence: Text = "not stated"
    training: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)


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
    described = path / keys.ENCODER_JSON
    raw = read_json_object(described)
    version = raw.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise BadInputError(f"{path} has schema version {version}, this FOCUS reads {SCHEMA_VERSION}", hint=hint)
    stated = validated(FolderDocument, raw, described, hint)
    config = validated(ViTConfig, stated.config, described, hint)
    if stated.tile_px < config.patch_px or stated.tile_px % config.patch_px:
        raise BadInputError(
            f"{described}: tiles of {stated.tile_px} px do not divide into patches of {config.patch_px} px", hint=hint
        )
    with torch.device("meta"):
        outline = ViT(config).state_dict()
    arrays = read_tensors(
        path / ENCODER_WEIGHTS, {name: Expected(tuple(value.shape)) for name, value in outline.items()}, hint=hint
    )
    net = ViT(config)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    fields = stated.model_dump()
    triples = {name: tuple(fields.pop(name)) for name in ("mean", "std")}
    return net.eval(), EncoderDescription(**fields, **triples)

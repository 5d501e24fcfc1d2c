"""Networks of the library timm: by name, from the hub, or with weights from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.histology.encoders.hub import fetch, hub_refusal
from focus_cli.histology.encoders.libraries import require
from focus_cli.histology.encoders.pooling import pool
from focus_cli.histology.encoders.presets import IMAGENET_MEAN, IMAGENET_STD, Preset
from focus_cli.histology.encoders.torch_encoder import Description, Runtime, TorchEncoder
from focus_cli.histology.encoders.weights import load_strictly, read_weights

if TYPE_CHECKING:
    import torch

_FILES = ("model.safetensors", "pytorch_model.bin")


def open_timm_preset(
    name: str, preset: Preset, runtime: Runtime, dense: bool = False, weights: Path | None = None
) -> TorchEncoder:
    """Open a published encoder that timm can build.

    The architecture is built here and the weights are checked against it, tensor by tensor.

    Raises
    ------
    MissingResourceError
        If timm is not there, or access is gated, or the hub cannot be reached.
    BadInputError
        If the weights are not the named model's.
    """
    timm = require("timm", f"encoder {name}")
    module = timm.create_model(preset.architecture, pretrained=False, num_classes=0, **_options(timm, preset.options))
    file = Path(weights) if weights else fetch(preset.repository, _FILES, name)
    load_strictly(module, read_weights(file), name, file if weights else preset.repository, optional="head.")
    return TorchEncoder(module, _tokens(module, name, preset.pooling, dense), preset.describe(name, dense), runtime)


def open_timm(
    model: str, runtime: Runtime, dense: bool = False, weights: Path | None = None, mpp: float = 0.5
) -> TorchEncoder:
    """Open any model of timm, by its name there (``"resnet50"``, ``"hf-hub:org/name"``).

    Tile size and normalisation are those that timm states; the scale must be given by the caller.

    Raises
    ------
    MissingResourceError, BadInputError
        As for presets.
    UsageError
        If timm has no such model.
    """
    name = f"timm:{model}"
    timm = require("timm", f"encoder {name}")
    try:
        module = timm.create_model(model, pretrained=weights is None, num_classes=0)
    except (RuntimeError, ValueError, KeyError) as error:
        if "hub:" in model:
            raise hub_refusal(error, model.partition("hub:")[2], name) from error
        near = timm.list_models(f"*{model[:6]}*")[:3]
        raise UsageError(
            f"encoder {name}: {(str(error).splitlines() or ['unknown model'])[0]}",
            hint=f"similar: {', '.join(near)}" if near else "see timm.list_models()",
        ) from error
    except Exception as error:  # the hub's client has its own
        raise hub_refusal(error, model.partition("hub:")[2] or model, name) from error
    if weights is not None:
        load_strictly(module, read_weights(weights), name, weights, optional=_head(module))
    stated = getattr(module, "pretrained_cfg", None) or {}
    tile_px = int((stated.get("input_size") or (3, 224, 224))[1])
    description = Description(
        name=name,
        mpp=mpp,
        tile_px=tile_px,
        mean=tuple(stated.get("mean") or IMAGENET_MEAN),
        std=tuple(stated.get("std") or IMAGENET_STD),
        licence=str(stated.get("license") or "not stated"),
        source=Path(weights).name if weights else str(stated.get("hf_hub_id") or "timm"),
        settings={"pooling": "output", "dense": dense},
    )
    if dense:
        return TorchEncoder(module, _tokens(module, name, "output", True), description, runtime)
    return TorchEncoder(module, lambda tiles: pool(module(tiles), name, "output"), description, runtime)


def _tokens(module: torch.nn.Module, name: str, pooling: str, dense: bool):
    """Pooling of the features before timm's own pooling: tokens, or a map in either order of its axes."""
    prefix = int(getattr(module, "num_prefix_tokens", 0))
    width = int(module.num_features)

    def forward(tiles: torch.Tensor) -> torch.Tensor:
        output = module.forward_features(tiles)
        if output.ndim == 4 and output.shape[3] == width != output.shape[1]:
            output = output.permute(0, 3, 1, 2)
        return pool(output, name, pooling, prefix, dense)

    return forward


def _options(timm: Any, options: Any) -> dict[str, Any]:
    import torch

    made = {}
    for key, value in options.items():
        if isinstance(value, str) and value.startswith("layer:"):
            wanted = value.removeprefix("layer:")
            value = getattr(torch.nn, wanted, None) or getattr(timm.layers, wanted, None)
            if value is None:
                raise BadInputError(f"this timm has no layer {wanted}", hint="pip install -U timm")
        made[key] = value
    return made


def _head(module: torch.nn.Module) -> str:
    """Beginning of the names of a classifier's weights."""
    stated = getattr(module, "pretrained_cfg", None) or {}
    head = stated.get("classifier") or "head"
    return head if isinstance(head, str) else head[0]

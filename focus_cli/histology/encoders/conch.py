"""CONCH: the image tower of a vision–language model; its own package builds it."""

from __future__ import annotations

from pathlib import Path

from focus_cli.core.errors import BadInputError
from focus_cli.histology.encoders.hub import fetch
from focus_cli.histology.encoders.libraries import require
from focus_cli.histology.encoders.pooling import pool
from focus_cli.histology.encoders.presets import Preset
from focus_cli.histology.encoders.torch_encoder import Runtime, TorchEncoder

_PACKAGE = "pip install git+https://github.com/mahmoodlab/CONCH.git"


def open_conch(
    name: str, preset: Preset, runtime: Runtime, dense: bool = False, weights: Path | None = None
) -> TorchEncoder:
    """Open CONCH's image encoder: features before the projection into the space shared with text, not normalised.

    Raises
    ------
    MissingResourceError
        If its package is not there, or access is gated, or the hub cannot be reached.
    BadInputError
        If the weights are not the named model's.
    """
    factory = require("conch.open_clip_custom", f"encoder {name}", hint=_PACKAGE)
    file = Path(weights) if weights else fetch(preset.repository, ("pytorch_model.bin",), name)
    try:
        module = factory.create_model_from_pretrained("conch_ViT-B-16", str(file), return_transform=False)
    except Exception as error:  # its package reads the file in its own way
        raise BadInputError(
            f"{file} is not the weights of {name}: {(str(error).splitlines() or ['damaged'])[0]}",
            hint=f"give the file of https://huggingface.co/{preset.repository}",
        ) from error

    def forward(tiles):
        return pool(module.encode_image(tiles, proj_contrast=False, normalize=False), name, preset.pooling, 0, dense)

    return TorchEncoder(module, forward, preset.describe(name, dense), runtime)

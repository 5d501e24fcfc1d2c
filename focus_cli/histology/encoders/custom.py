"""A custom encoder, described in a YAML file.

Such a file is code: it names a class of an installed package, which is imported and built. It is opened only where a
user gives it, never because a model or a sample names it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.documents import read_yaml
from focus_cli.histology.encoders.pooling import pool
from focus_cli.histology.encoders.presets import IMAGENET_MEAN, IMAGENET_STD
from focus_cli.histology.encoders.torch_encoder import Description, Runtime, TorchEncoder
from focus_cli.histology.encoders.weights import load_strictly, read_weights

if TYPE_CHECKING:
    import torch

Triple = tuple[float, float, float]


class CustomEncoder(BaseModel):
    """The keys of the file.

    `factory` is ``package.module:Class``, installed where FOCUS runs: a subclass of ``torch.nn.Module``, built with
    `options`, that takes normalised tiles (n, 3, tile_px, tile_px) and gives vectors (n, dim), a map (n, dim, h, w) or
    tokens (n, tokens, dim), the first `prefix_tokens` of which have no place on the tile. `weights` is a file beside
    the description or elsewhere; without it the class brings its own.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    factory: str = Field(pattern=r"^[\w.]+:[\w.]+$")
    options: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = None
    sha256: str | None = Field(None, pattern=r"^[0-9a-fA-F]{64}$")
    mpp: float = Field(gt=0, allow_inf_nan=False)
    tile_px: int = Field(ge=1, le=8192)
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    dim: int = Field(ge=1)
    pooling: str = "class"
    prefix_tokens: int = Field(1, ge=0)
    licence: str = "not stated"


def open_custom(path: Path, runtime: Runtime, dense: bool = False) -> TorchEncoder:
    """Open the encoder that a YAML file describes.

    Raises
    ------
    BadInputError
        If the file is no description, or the weights are not those it names, or features have another dimension.
    MissingResourceError
        If the file, the factory's package or the weights are not there.
    """
    path = Path(path)
    described = _read(path)
    factory = _factory(described.factory, path)
    try:
        module = factory(**described.options)
    except Exception as error:  # it is the user's code
        raise BadInputError(
            f"{path}: {described.factory} failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            hint="check `options` and the class",
        ) from error
    if described.weights is not None:
        file = path.parent / Path(described.weights).expanduser()
        load_strictly(module, read_weights(file, described.sha256), described.name, file)
    elif described.sha256 is not None:
        raise BadInputError(f"{path}: sha256 without weights", hint="name the file under `weights`")
    description = Description(
        name=described.name,
        mpp=described.mpp,
        tile_px=described.tile_px,
        mean=described.mean,
        std=described.std,
        licence=described.licence,
        source=described.factory,
        dim=None if dense else described.dim,
        settings={"pooling": described.pooling, "prefix": described.prefix_tokens, "dense": dense},
    )

    def forward(tiles: torch.Tensor) -> torch.Tensor:
        return pool(module(tiles), described.name, described.pooling, described.prefix_tokens, dense)

    return TorchEncoder(module, forward, description, runtime)


def _read(path: Path) -> CustomEncoder:
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise BadInputError(f"{path} describes no encoder: it holds no keys", hint="see docs/encoders.md")
    try:
        return CustomEncoder.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInputError(
            f"{path} describes no encoder: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            hint="keys: " + ", ".join(CustomEncoder.model_fields),
        ) from error


def _factory(text: str, path: Path) -> type[torch.nn.Module]:
    """The class that a description names; nothing else is ever called."""
    import torch

    module_name, _, attribute = text.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # importing is running the user's code
        raise MissingResourceError(
            f"{path}: no class {text}: {(str(error).splitlines() or ['not found'])[0]}",
            hint="install its package where FOCUS runs, or put its folder into PYTHONPATH",
        ) from error
    if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
        raise BadInputError(
            f"{path}: {text} is no subclass of torch.nn.Module, and nothing else is built",
            hint="put what builds the network into the __init__ of such a class",
        )
    return found

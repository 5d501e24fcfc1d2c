"""Vision models of the library transformers: from the hub or a local folder, safetensors, never foreign code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.core.storage.documents import read_json_object
from focus_cli.histology.encoders.hub import hub_refusal
from focus_cli.histology.encoders.libraries import require
from focus_cli.histology.encoders.pooling import pool
from focus_cli.histology.encoders.presets import IMAGENET_MEAN, IMAGENET_STD, Preset
from focus_cli.histology.encoders.torch_encoder import Description, Runtime, TorchEncoder
from focus_cli.histology.encoders.weights import read_weights

if TYPE_CHECKING:
    import torch

_UNUSED = ("pooler.", "classifier.", "head.")  # parts that features do without


def open_hf_preset(
    name: str, preset: Preset, runtime: Runtime, dense: bool = False, weights: Path | None = None
) -> TorchEncoder:
    """Open a published encoder that transformers can build; `weights` is a folder with its config, if any.

    Raises
    ------
    MissingResourceError
        If transformers is not there, or access is gated, or the hub cannot be reached.
    BadInputError
        If the weights are not the named model's, or would need foreign code.
    """
    module = _load(str(weights or preset.repository), name, preset.architecture)
    return TorchEncoder(module, _forward(module, name, preset.pooling, dense), preset.describe(name, dense), runtime)


def open_hf(model: str, runtime: Runtime, dense: bool = False, mpp: float = 0.5) -> TorchEncoder:
    """Open any vision model of transformers: a name on the hub or a local folder.

    Tile size and normalisation are those of its ``preprocessor_config.json``, else those of ImageNet at the
    size in its config; the class token sums up a tile where there is one. The scale is the caller's to state.

    Raises
    ------
    MissingResourceError, BadInputError
        As for presets.
    """
    folder = Path(model).expanduser()
    local = folder.is_dir()
    name = f"hf:{folder.name if local else model}"
    module = _load(str(folder) if local else model, name)
    stated = _processor(folder if local else model)
    crop = stated.get("crop_size") or stated.get("size") or {}
    tile_px = crop if isinstance(crop, int) else crop.get("height") or crop.get("shortest_edge")
    pooling = "class" if _prefix(module) else "mean"
    description = Description(
        name=name,
        mpp=mpp,
        tile_px=int(tile_px or getattr(module.config, "image_size", 224)),
        mean=tuple(stated.get("image_mean") or IMAGENET_MEAN),
        std=tuple(stated.get("image_std") or IMAGENET_STD),
        licence="see its card" if not local else "not stated",
        source=folder.name if local else f"https://huggingface.co/{model}",
        settings={"pooling": pooling, "dense": dense},
    )
    return TorchEncoder(module, _forward(module, name, pooling, dense), description, runtime)


def _load(source: str, name: str, architecture: str = "") -> torch.nn.Module:
    transformers = require("transformers", f"encoder {name}")
    folder = Path(source)
    local = folder.is_dir()
    if local and not (folder / "config.json").is_file():
        raise MissingResourceError(f"{folder} holds no model of transformers: config.json is missing")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    options: dict[str, Any] = {"trust_remote_code": False}
    try:
        if architecture:
            kind = transformers.CONFIG_MAPPING[architecture]
            raw, _ = transformers.PretrainedConfig.get_config_dict(source)
            config = kind(**{k: v for k, v in raw.items() if k not in ("auto_map", "model_type", "architectures")})
        else:
            config = transformers.AutoConfig.from_pretrained(source, **options)
        if local and not any(folder.glob("*.safetensors")):
            module, report = _from_bin(transformers, config, folder)
        else:
            module, report = transformers.AutoModel.from_pretrained(
                source, config=config, use_safetensors=True, output_loading_info=True, **options
            )
    except (BadInputError, MissingResourceError):
        raise
    except Exception as error:
        raise _refusal(error, source, name, local) from error
    missing = [k for k in report["missing_keys"] if not k.startswith(_UNUSED)]
    wrong = [k[0] if isinstance(k, tuple) else k for k in report["mismatched_keys"]]
    if missing or wrong:
        first = sorted(missing or wrong)[0]
        raise BadInputError(
            f"{source} is not the weights of {name}: {len(missing or wrong)} tensors are "
            f"{'missing' if missing else 'of another shape'} ({first}, …)",
            hint="give the named model's own files",
        )
    return module


def _from_bin(transformers: Any, config: Any, folder: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Weights in PyTorch's format, tensors alone, under the names of any version of transformers."""
    file = folder / "pytorch_model.bin"
    if not file.is_file():
        raise MissingResourceError(f"{folder} holds no weights: neither model.safetensors nor pytorch_model.bin")
    kind = type(transformers.AutoModel.from_config(config, trust_remote_code=False))
    return kind.from_pretrained(None, config=config, state_dict=read_weights(file), output_loading_info=True)


def _refusal(error: Exception, source: str, name: str, local: bool) -> Exception:
    text = (str(error).splitlines() or [type(error).__name__])[0]
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        return BadInputError(
            f"encoder {name} would run code from {source}, which FOCUS does not do",
            hint="describe it in a YAML file with a class that you have read (docs/encoders.md)",
        )
    if local or (isinstance(error, (KeyError, ValueError, RuntimeError)) and not isinstance(error, OSError)):
        return BadInputError(f"{source} is not the weights of {name}: {text}", hint="give the named model's own files")
    return hub_refusal(error, source, name)


def _processor(source: str | Path) -> dict[str, Any]:
    """The normalisation that comes with a model; empty where there is none."""
    try:
        if isinstance(source, Path):
            return read_json_object(source / "preprocessor_config.json")
        from focus_cli.histology.encoders.hub import fetch

        return read_json_object(fetch(source, ("preprocessor_config.json",), source))
    except FocusError:
        return {}


def _prefix(module: torch.nn.Module) -> int:
    """Number of tokens without a place: the class token and registers."""
    if not hasattr(module.config, "patch_size"):
        return 0
    return 1 + int(getattr(module.config, "num_register_tokens", 0) or 0)


def _forward(module: torch.nn.Module, name: str, pooling: str, dense: bool):
    prefix = _prefix(module)

    def forward(tiles: torch.Tensor) -> torch.Tensor:
        return pool(module(pixel_values=tiles).last_hidden_state, name, pooling, prefix, dense)

    return forward

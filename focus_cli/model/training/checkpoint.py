"""Models and training states on disk: safetensors and JSON, nothing that can run code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import atomic_directory, require_files
from focus_cli.core.storage.damage import damaged
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.kinds import MODEL, STATE
from focus_cli.core.storage.schema import require_version, validated
from focus_cli.core.storage.tensors import Expected, read_tensors
from focus_cli.core.storage.training_state import StateDocument, restore_tensors, state_tensors
from focus_cli.model.conditioning.image_space import ImageSpace
from focus_cli.model.conditioning.ood import OodReference
from focus_cli.model.network import FocusNet, ModelConfig
from focus_cli.model.priors import SpatialPrior, read_prior, write_prior
from focus_cli.model.training.model_schema import ModelDocument

SCHEMA_VERSION = 5
_AGAIN = "train it again"
_IMAGE_ARRAYS = {
    "axes": Expected((None, None), optional=True),
    "ood_reference.centre": Expected((None,), optional=True),
    "ood_reference.whitening": Expected((None, None), optional=True),
    "ood_reference.landmarks": Expected((None, None), optional=True),
    "ood_reference.border": Expected((1,), optional=True),
}


@dataclass(frozen=True)
class TrainedModel:
    """A network, the prior it was trained with, how it sees the image, and what is known of its training."""

    net: FocusNet
    prior: SpatialPrior
    image: ImageSpace
    info: dict[str, Any]


def model_tensors(net: FocusNet) -> dict[str, torch.Tensor]:
    """Weights of a network under stable names."""
    return {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}


def save_model(path: Path, model: TrainedModel, log: str = "", *, overwrite: bool = False) -> None:
    """Write MODEL_DIR: ``model.safetensors``, ``model.json``, ``training.csv``, the files of the prior and, for a model
    that sees an image, ``image.safetensors``.
    """
    with atomic_directory(path, overwrite, kind=MODEL) as temporary:
        (temporary / keys.WEIGHTS).write_bytes(save(model_tensors(model.net)))
        description = {
            "schema_version": SCHEMA_VERSION,
            "config": model.net.config.model_dump(),
            "feature_names": list(model.image.names),
            "encoder": model.image.encoder,
            **model.info,
        }
        (temporary / keys.MODEL_JSON).write_text(json.dumps(description, indent=2, sort_keys=True) + "\n")
        write_prior(temporary, model.prior, {"samples": model.info.get("samples", [])})
        if tensors := image_tensors(model.image):
            (temporary / keys.IMAGE_SPACE).write_bytes(save(tensors))
        (temporary / keys.TRAINING_LOG).write_text(log)


def image_tensors(image: ImageSpace) -> dict[str, torch.Tensor]:
    """Arrays of an image space under stable names; none for the built-in features without known tissue."""
    arrays = {} if image.axes is None else {"axes": image.axes}
    if image.ood_reference is not None:
        arrays |= {f"ood_reference.{name}": value for name, value in image.ood_reference.arrays().items()}
    return {name: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for name, value in arrays.items()}


def load_image_space(path: Path, names: list[str], encoder: dict[str, Any] | None) -> ImageSpace:
    """Read what `image_tensors` wrote into a model's folder.

    Raises
    ------
    MissingResourceError, BadInputError
        If the file cannot be read, is damaged, or does not fit the names.
    """
    file = path / keys.IMAGE_SPACE
    if not file.exists():
        return ImageSpace(tuple(names), encoder)
    arrays = read_tensors(file, _IMAGE_ARRAYS, hint=_AGAIN)
    axes = arrays.pop("axes", None)
    if axes is not None and len(axes) != len(names):
        raise BadInputError(f"{file} has axes of {len(axes)} features, {len(names)} are named", hint=_AGAIN)
    met = {name.removeprefix("ood_reference."): value for name, value in arrays.items()}
    try:
        ood_reference = OodReference.of(met) if met else None
    except (KeyError, ValueError) as error:
        raise damaged(file, error, _AGAIN) from error
    space = ImageSpace(tuple(names), encoder, axes, ood_reference)
    if ood_reference is not None and len(ood_reference.centre) != space.n_features:
        raise BadInputError(
            f"{file} describes tissue by {len(ood_reference.centre)} features, the model sees {space.n_features}",
            hint=_AGAIN,
        )
    return space


def is_model(path: Path) -> bool:
    """Whether `path` is a folder written by ``focus train``."""
    return (Path(path) / keys.MODEL_JSON).is_file()


def load_model(path: Path) -> TrainedModel:
    """Read a model.

    Raises
    ------
    MissingResourceError
        If the folder or one of its files is not there.
    BadInputError
        If a file is damaged, of another version, or its tensors do not fit its description.
    """
    path = Path(path)
    require_files(path, (keys.MODEL_JSON, keys.WEIGHTS), "model", "train")
    prior = read_prior(path)
    described = path / keys.MODEL_JSON
    raw = read_json_object(described)
    require_version(raw, SCHEMA_VERSION, path, _AGAIN)
    config = validated(ModelConfig, validated(ModelDocument, raw, described, _AGAIN).config, described, _AGAIN)
    info = {key: value for key, value in raw.items() if key not in ("schema_version", "config")}
    image = load_image_space(path, info.pop("feature_names"), info.pop("encoder", None))
    if config.n_factors != prior.n_factors:
        raise BadInputError(f"{path}: {config.n_factors} factors in the network, {prior.n_factors} in the prior")
    if config.n_features != image.n_features:
        raise BadInputError(f"{path}: {config.n_features} image features in the network, {image.n_features} described")
    net = _network(config, path / keys.WEIGHTS)
    net.eval()
    return TrainedModel(net, prior, image, info)


def _network(config: ModelConfig, weights: Path) -> FocusNet:
    """The network with its weights; it is not built before the file is known to hold all of them."""
    with torch.device("meta"):
        outline = FocusNet(config).state_dict()
    expected = {
        name: Expected(tuple(value.shape), (str(value.dtype).removeprefix("torch."),))
        for name, value in outline.items()
    }
    arrays = read_tensors(weights, expected, hint=_AGAIN)
    net = FocusNet(config)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return net


def checkpoint_path(out: Path) -> Path:
    """Where an unfinished training keeps its state: beside the model that it will become."""
    return Path(out).with_name(f"{Path(out).name}.checkpoint")


def save_state(
    path: Path,
    net: dict[str, torch.Tensor],
    optimiser: dict[int, dict[str, Any]],
    step: int,
    key: str,
    log: str,
    running: list,
) -> None:
    """Write a resumable state; `key` names the run that may continue it.

    Parameters
    ----------
    net
        Whole tensors by their names in the network.
    optimiser
        Its state by the number of the parameter, as in ``optimiser.state_dict()["state"]``.
    """
    tensors = state_tensors(net, optimiser)
    with atomic_directory(path, overwrite=True, kind=STATE) as temporary:
        (temporary / "state.safetensors").write_bytes(save(tensors))
        (temporary / "state.json").write_text(json.dumps({"step": step, "key": key, "log": log, "running": running}))


def load_state(path: Path, net: FocusNet, optimiser: torch.optim.Optimizer, key: str) -> tuple[int, str, list]:
    """Restore a state in place; return its step, its log and the losses not yet logged.

    Raises
    ------
    BadInputError
        If the state belongs to another run or is damaged.
    """
    hint = "remove it and train without --resume"
    described = validated(StateDocument, read_json_object(path / "state.json"), path / "state.json", hint)
    if described.key != key:
        raise BadInputError(f"{path} belongs to a training with other samples or settings", hint=hint)
    restore_tensors(path, net, optimiser, hint)
    return described.step, described.log, described.running

"""Every encoder by its name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core import keys
from focus_cli.core.errors import MissingResourceError, UsageError

if TYPE_CHECKING:
    from focus_cli.histology.encoder import Encoder
    from focus_cli.histology.encoders.torch_encoder import Runtime

BUILT_IN = ("morphology", "imagenet-lite0", "random:tiny")
_DESCRIPTIONS = (".yaml", ".yml")
_HINT = "`focus features --list` names those that are known"


def open_encoder(
    spec: str,
    *,
    device: str = "auto",
    dense: bool = False,
    precision: str = "float32",
    batch: int = 64,
    compile: bool = False,
    weights: str | Path | None = None,
    mpp: float | None = None,
) -> Encoder:
    """Open an encoder.

    Parameters
    ----------
    spec
        A name (``"morphology"``, ``"uni"``, … see `list_encoders`); ``"random:SIZE"``; ``"timm:NAME"``;
        ``"hf:NAME"`` or ``"hf:FOLDER"``; a folder written by ``focus pretrain``; a YAML file that describes one.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    dense
        Patch tokens (or the cells of the last map) in place of one vector per tile.
    precision
        ``"float32"``, ``"bfloat16"`` or ``"float16"``.
    batch
        Tiles that go through the network at a time.
    compile
        Whether to use ``torch.compile``.
    weights
        A file (transformers: a folder) of the named model's weights, in place of the hub.
    mpp
        µm per pixel of tiles, where it is not stated (``timm:``, ``hf:``, ``random:``, ``imagenet-lite0``);
        default 0.5.

    Raises
    ------
    UsageError
        If nothing is called that, or an option makes no sense for it.
    MissingResourceError
        If a library, a file, or access is missing.
    BadInputError
        If the weights are not the named model's.
    """
    from focus_cli.histology.encoders.presets import PRESETS
    from focus_cli.histology.encoders.torch_encoder import Runtime

    runtime = Runtime(device, precision, batch, compile)
    kind, _, rest = spec.partition(":")
    path = Path(spec).expanduser()
    if spec in PRESETS:
        _refuse(spec, mpp=mpp)
        return _open_preset(spec, runtime, dense, weights)
    if kind == "timm" and rest:
        from focus_cli.histology.encoders.timm_model import open_timm

        return open_timm(rest, runtime, dense, Path(weights) if weights else None, mpp or 0.5)
    _refuse(spec, weights=weights)
    if kind == "hf" and rest:
        from focus_cli.histology.encoders.hf_model import open_hf

        return open_hf(rest, runtime, dense, mpp or 0.5)
    if kind == "random" and rest:
        from focus_cli.histology.encoders.random_vit import open_random

        return open_random(rest, runtime, dense, mpp or 0.5)
    if spec == "imagenet-lite0":
        from focus_cli.histology.encoders.imagenet import open_imagenet

        return open_imagenet(runtime, dense, mpp or 0.5)
    _refuse(spec, mpp=mpp)
    if spec == "morphology":
        from focus_cli.histology.encoders.morphology import MorphologyEncoder

        if dense:
            raise UsageError(
                "encoder morphology gives one vector per tile and cannot be dense", hint="give a finer --step-um"
            )
        return MorphologyEncoder()
    if path.suffix in _DESCRIPTIONS:
        from focus_cli.histology.encoders.custom import open_custom

        return open_custom(path, runtime, dense)
    if path.is_dir():
        return _open_folder(path, runtime, dense)
    raise _unknown(spec, PRESETS)


def is_shipped_name(name: object) -> bool:
    """Whether `name`, which may come from a file, names an encoder that is defined in FOCUS itself.

    Nothing else of what `open_encoder` takes may come from data: a YAML description and a folder are the user's code
    and files, and ``timm:`` and ``hf:`` reach out to a network.
    """
    from focus_cli.histology.encoders.presets import PRESETS

    return isinstance(name, str) and (name in PRESETS or name in BUILT_IN)


def list_encoders() -> list[dict[str, Any]]:
    """Facts of every encoder that has a name, one dict each.

    Keys: ``name``, ``mpp``, ``tile_px``, ``dim``, ``licence``, ``gated``, ``library``, ``installed`` (whether the
    library is there; nothing is imported or downloaded) and ``source``.
    """
    from focus_cli.histology.encoders import imagenet, morphology
    from focus_cli.histology.encoders.libraries import is_installed
    from focus_cli.histology.encoders.presets import PRESETS

    def row(name: str, mpp: float, tile_px: int, dim: int, licence: str, library: str, source: str, **more: Any):
        return {
            "name": name,
            "mpp": mpp,
            "tile_px": tile_px,
            "dim": dim,
            "licence": licence,
            "gated": False,
            "library": library,
            "source": source,
            **more,
        }

    here = all(is_installed(package) for package in imagenet.PACKAGES)
    rows = [
        row("morphology", morphology.MPP, morphology.TILE_PX, 57, "BSD-3-Clause", "-", "built in", installed=True),
        row("random:tiny", 0.5, 112, 384, "BSD-3-Clause", "-", "random weights", installed=True),
        row(
            imagenet.NAME,
            imagenet.MPP,
            imagenet.TILE_PX,
            imagenet.DIM,
            imagenet.LICENCE,
            "efficientnet-lite-pytorch",
            "PyPI",
            installed=here,
        ),
    ]
    for name, preset in PRESETS.items():
        installed = is_installed(preset.library) and (preset.library != "timm" or is_installed("torchvision"))
        more = {"gated": preset.gated, "installed": installed}
        rows.append(
            row(
                name,
                preset.mpp,
                preset.tile_px,
                preset.dim,
                preset.licence,
                preset.library,
                f"https://huggingface.co/{preset.repository}",
                **more,
            )
        )
    return rows


def _open_preset(name: str, runtime: Runtime, dense: bool, weights: str | Path | None) -> Encoder:
    from focus_cli.histology.encoders.presets import PRESETS

    openers: dict[str, tuple[str, str]] = {
        "timm": ("timm_model", "open_timm_preset"),
        "transformers": ("hf_model", "open_hf_preset"),
        "conch": ("conch", "open_conch"),
    }
    import importlib

    preset = PRESETS[name]
    module, function = openers[preset.library]
    opener: Callable[..., Encoder] = getattr(
        importlib.import_module(f"focus_cli.histology.encoders.{module}"), function
    )
    if weights is not None and not Path(weights).exists():
        raise MissingResourceError(f"no such weights: {weights}", hint="check --weights")
    return opener(name, preset, runtime, dense, Path(weights) if weights else None)


def _open_folder(path: Path, runtime: Runtime, dense: bool) -> Encoder:
    if (path / keys.ENCODER_JSON).is_file():
        from focus_cli.histology.encoders.pretrained import open_own

        return open_own(path, runtime.device, dense, batch=runtime.batch, precision=runtime.precision)
    if (path / "config.json").is_file():
        raise UsageError(f"{path} is a folder of transformers", hint=f"write hf:{path}")
    raise MissingResourceError(
        f"{path} holds no encoder: {keys.ENCODER_JSON} is missing", hint="focus pretrain makes such a folder"
    )


def _refuse(spec: str, **given: Any) -> None:
    """Refuse options that the encoder fixes by itself."""
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"encoder {spec} states its own {option}", hint=f"leave out {option}")


def _unknown(spec: str, presets: Any) -> Exception:
    if any(sign in spec for sign in "/\\") or spec.startswith((".", "~")):
        return MissingResourceError(f"no such encoder: {spec}", hint="a folder with encoder.json, or a YAML file")
    names = [*BUILT_IN, *presets]
    close = difflib.get_close_matches(spec.lower(), names, n=1, cutoff=0.5)
    return UsageError(f"there is no encoder {spec!r}", hint=f"did you mean {close[0]}? {_HINT}" if close else _HINT)

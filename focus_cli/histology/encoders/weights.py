"""Weights from files: never code, and always those of the named model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.regular import require_regular
from focus_cli.core.storage.tensors import read_tensors

if TYPE_CHECKING:
    import torch

_WRAPPERS = ("state_dict", "model", "teacher")  # keys under which training scripts put the weights


def read_weights(path: Path, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Read a file of weights: safetensors, or PyTorch's own format with tensors alone (no code is run).

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If its SHA-256 is not `sha256`, or it is no file of weights, or holds anything but tensors.
    """
    import torch

    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such file of weights: {path}")
    require_regular(path)
    if sha256 is not None:
        from focus_cli.core.provenance import hash_file

        found = hash_file(path)
        if found != sha256.lower():
            raise BadInputError(
                f"{path} is not the file that was named: its SHA-256 begins with {found[:12]}, not {sha256[:12]}",
                hint="download it again",
            )
    try:
        if path.suffix == ".safetensors":
            return {name: torch.from_numpy(array) for name, array in read_tensors(path).items()}
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format has exceptions of its own, pickle's among them
        raise BadInputError(
            f"{path} cannot be read as weights: {(str(error).splitlines() or ['damaged'])[0]}",
            hint="give a .safetensors file; files that hold code or other objects are not opened",
        ) from error
    for key in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        raise BadInputError(f"{path} holds no table of named tensors", hint="give the model's state_dict")
    return loaded


def load_strictly(
    module: torch.nn.Module, weights: dict[str, torch.Tensor], name: str, source: str | Path, optional: str = ""
) -> None:
    """Put `weights` into `module`; every parameter must be there, in its shape.

    Parameters
    ----------
    optional
        Beginning of names that `weights` may hold in vain (a classifier's head, which features do without).

    Raises
    ------
    BadInputError
        Naming what does not fit.
    """
    expected = module.state_dict()
    missing = sorted(set(expected) - set(weights))
    foreign = sorted(k for k in set(weights) - set(expected) if not (optional and k.startswith(optional)))
    shapes = [k for k in expected if k in weights and expected[k].shape != weights[k].shape]
    problem = None
    if shapes:
        key = shapes[0]
        problem = f"{key} is {tuple(weights[key].shape)}, not {tuple(expected[key].shape)}"
    elif missing:
        problem = f"{len(missing)} of {len(expected)} tensors are missing ({missing[0]}, …)"
    elif foreign:
        problem = f"{len(foreign)} tensors are not of this model ({foreign[0]}, …)"
    if problem:
        raise BadInputError(f"{source} is not the weights of {name}: {problem}", hint="give the named model's own file")
    module.load_state_dict({k: weights[k] for k in expected}, strict=True)

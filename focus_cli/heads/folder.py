"""Heads on disk: JSON and safetensors, nothing that can run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli import keys
from focus_cli.errors import BadInputError
from focus_cli.store import atomic_directory, require_files
from focus_cli.store.kinds import ANNOTATION_HEAD, OUTCOME_HEAD

SCHEMA_VERSION = 1
_KINDS = {"annotate": ANNOTATION_HEAD, "outcome": OUTCOME_HEAD}


def write_head(
    out: Path, kind: str, told: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, overwrite: bool = False
) -> None:
    """Write a head's folder whole or not at all.

    Raises
    ------
    OutputExistsError
        If `out` exists and `overwrite` is false.
    """
    from safetensors.numpy import save

    with atomic_directory(out, overwrite, kind=_KINDS[kind]) as temporary:
        text = json.dumps({"schema_version": SCHEMA_VERSION, "kind": kind, **told}, indent=2, sort_keys=True)
        (temporary / keys.HEAD_JSON).write_text(text + "\n", encoding="utf-8")
        whole = {name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())}
        (temporary / keys.HEAD_ARRAYS).write_bytes(save(whole))


def read_head(path: Path, kind: str, needed: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_head` wrote.

    Parameters
    ----------
    kind
        What it must be, which is also the verb that makes it.
    needed
        Entries that ``head.json`` must have.

    Raises
    ------
    MissingResourceError
        If the folder or a file of it is not there.
    BadInputError
        If it is a head of another kind or version, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(path)
    require_files(path, (keys.HEAD_JSON, keys.HEAD_ARRAYS), "head", f"{kind} fit")
    again = f"fit it again with focus {kind} fit"
    try:
        told = json.loads((path / keys.HEAD_JSON).read_text(encoding="utf-8"))
        arrays = load_file(path / keys.HEAD_ARRAYS)
        found, version = told["kind"], told["schema_version"]
        missing = [name for name in needed if name not in told]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadInputError(f"{path} is damaged: {str(error).splitlines()[0]}", hint=again) from error
    if found != kind:
        raise BadInputError(f"{path} is a head of focus {found}, not of focus {kind}", hint=again)
    if version != SCHEMA_VERSION:
        raise BadInputError(f"{path} has schema version {version}, this FOCUS reads {SCHEMA_VERSION}", hint=again)
    if missing or any(not np.isfinite(value).all() for value in arrays.values()):
        raise BadInputError(f"{path} is damaged: {', '.join(missing) or 'numbers that are not finite'}", hint=again)
    return told, arrays

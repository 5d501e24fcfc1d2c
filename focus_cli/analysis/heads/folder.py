"""Heads on disk: JSON and safetensors, nothing that can run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import atomic_directory, require_files
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.kinds import ANNOTATION_HEAD, OUTCOME_HEAD
from focus_cli.core.storage.schema import Document, Name, require_version, validated
from focus_cli.core.storage.tensors import read_tensors

SCHEMA_VERSION = 1
_KINDS = {"annotate": ANNOTATION_HEAD, "outcome": OUTCOME_HEAD}


def write_head(
    out: Path, kind: str, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, overwrite: bool = False
) -> None:
    """Write a head's folder whole or not at all.

    Raises
    ------
    OutputExistsError
        If `out` exists and `overwrite` is false.
    """
    from safetensors.numpy import save

    with atomic_directory(out, overwrite, kind=_KINDS[kind]) as temporary:
        text = json.dumps({"schema_version": SCHEMA_VERSION, "kind": kind, **document}, indent=2, sort_keys=True)
        (temporary / keys.HEAD_JSON).write_text(text + "\n", encoding="utf-8")
        whole = {name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())}
        (temporary / keys.HEAD_ARRAYS).write_bytes(save(whole))


def read_head(path: Path, kind: str, schema: type[HeadDocument]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_head` wrote.

    Parameters
    ----------
    kind
        What it must be, which is also the verb that makes it.
    schema
        What ``head.json`` must be.

    Raises
    ------
    MissingResourceError
        If the folder or a file of it is not there.
    BadInputError
        If it is a head of another kind or version, or damaged.
    """
    path = Path(path)
    require_files(path, (keys.HEAD_JSON, keys.HEAD_ARRAYS), "head", f"{kind} fit")
    again = f"fit it again with focus {kind} fit"
    described = path / keys.HEAD_JSON
    raw = read_json_object(described)
    found = raw.get("kind")
    if isinstance(found, str) and found != kind:
        raise BadInputError(f"{path} is a head of focus {found}, not of focus {kind}", hint=again)
    require_version(raw, SCHEMA_VERSION, path, again)
    validated(schema, raw, described, again)
    return raw, read_tensors(path / keys.HEAD_ARRAYS, hint=again)


class HeadDocument(Document):
    """What ``head.json`` of every kind holds. Keys of later versions are kept."""

    model_config = ConfigDict(extra="allow")

    schema_version: int
    kind: Name
    space: Name
    widths: dict[Name, Annotated[int, Field(ge=1, le=1 << 20)]] = Field(min_length=1)
    border: float = Field(gt=0)
    provenance: dict[str, Any] = Field(default_factory=dict)

"""Where the parts of a corpus lie, and what its descriptions hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from focus_cli.errors import BadInputError

SCHEMA_VERSION = 1
SHARDS = "shards"
SAMPLES = "samples"
PANELS = "panels"
INCOMPLETE = "incomplete.json"  # there while samples are packed, with their names


def entry_path(corpus: Path, sample_id: str) -> Path:
    """The description of a sample: it is in the corpus once this is there."""
    return corpus / SAMPLES / f"{sample_id}.json"


def missing_samples(corpus: Path) -> list[str]:
    """Names of samples that were being packed when their ``focus corpus`` ended before its time; sorted.

    Raises
    ------
    BadInputError
        If the list is damaged.
    """
    path = corpus / INCOMPLETE
    if not path.exists():
        return []
    listed = read_json(path).get("samples")
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise BadInputError(f"{path} is damaged", hint="run focus corpus again with --overwrite")
    return sorted(listed)


def panel_path(corpus: Path, digest: str) -> Path:
    """A panel of genes, by the SHA-256 of its file."""
    return corpus / PANELS / f"{digest}.json"


def read_json(path: Path) -> dict[str, Any]:
    """A description.

    Raises
    ------
    BadInputError
        If it cannot be read, or is of another schema version.
    """
    try:
        described = json.loads(path.read_text())
        version = described["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path} is damaged: {error}", hint="run focus corpus again with --overwrite") from error
    if version != SCHEMA_VERSION:
        raise BadInputError(
            f"{path} has schema version {version}, this FOCUS reads {SCHEMA_VERSION}", hint="run focus corpus again"
        )
    return described


def to_json(described: dict[str, Any]) -> str:
    """As it is written: equal descriptions are equal bytes."""
    return json.dumps({"schema_version": SCHEMA_VERSION} | described, sort_keys=True, ensure_ascii=False) + "\n"

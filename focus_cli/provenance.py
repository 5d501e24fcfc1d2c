"""What made a file: version, command, settings, inputs with their hashes, seed. All of it JSON-safe.

Nothing here depends on the clock or the host's name: the same run twice gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from focus_cli import __version__

_TRACKED = ("anndata", "numpy", "scipy", "torch", "scanpy", "zarr", "tifffile")
_BLOCK = 1 << 22


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks of 4 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def hash_inputs(paths: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Name, size and SHA-256 of each input file; folders are hashed over their files in sorted order."""
    described = {}
    for role, path in sorted(paths.items()):
        path = Path(path)
        if path.is_dir():
            digest, size = hashlib.sha256(), 0
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                digest.update(str(file.relative_to(path)).encode() + hash_file(file).encode())
                size += file.stat().st_size
            described[role] = {"name": path.name, "bytes": size, "sha256": digest.hexdigest()}
        else:
            described[role] = {"name": path.name, "bytes": path.stat().st_size, "sha256": hash_file(path)}
    return described


def describe_run(
    command: str, settings: dict[str, Any], inputs: dict[str, Path], seed: int | None = None
) -> dict[str, Any]:
    """Provenance record of one command.

    Parameters
    ----------
    command
        The verb, for instance ``"enhance"``.
    settings
        The options that shaped the result; anything not JSON-safe is turned into text.
    inputs
        Role → file or folder; each is hashed.
    seed
        The seed of the run, if it has one.
    """
    versions = {"python": platform.python_version()}
    for name in _TRACKED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    record: dict[str, Any] = {
        "focus_version": __version__,
        "command": command,
        "settings": json.loads(json.dumps(settings, default=str, sort_keys=True)),
        "inputs": hash_inputs(inputs),
        "versions": versions,
    }
    if seed is not None:
        record["seed"] = int(seed)
    return record

"""What made a file: version, command, settings, inputs with their hashes, seed. All of it JSON-safe.

Nothing here depends on the clock or the host's name: the same run twice gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from focus_cli import __version__
from focus_cli.core.storage.regular import require_regular

_TRACKED = ("anndata", "numpy", "scipy", "torch", "scanpy", "zarr", "tifffile")
_BLOCK = 1 << 22


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks of 4 MiB.

    Raises
    ------
    MissingResourceError, BadInputError
        If it is no regular file that can be read.
    """
    digest = hashlib.sha256()
    with open(require_regular(path), "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def hash_text(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_folder(path: Path) -> dict[Path, str]:
    """Relative path → SHA-256 of every file of a folder."""
    return {file.relative_to(path): hash_file(file) for file in Path(path).rglob("*") if file.is_file()}


def folder_digest(hashes: dict[Path, str]) -> str:
    """One SHA-256 for a folder from those of its files, in sorted order."""
    return hash_text("".join(f"{name}{hashes[name]}" for name in sorted(hashes)))


def bytes_of(path: Path) -> int:
    """Size of a file, or of all files of a folder."""
    path = Path(path)
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def describe_path(path: Path) -> dict[str, Any]:
    """Name, size in bytes and SHA-256 of a file, or of a folder over its files."""
    path = Path(path)
    if not path.is_dir():
        return {"name": path.name, "bytes": require_regular(path).stat().st_size, "sha256": hash_file(path)}
    hashes = hash_folder(path)
    size = sum((path / name).stat().st_size for name in hashes)
    return {"name": path.name, "bytes": size, "sha256": folder_digest(hashes)}


def hash_inputs(paths: Mapping[str, Path | None]) -> dict[str, dict[str, Any]]:
    """Role → the result of `describe_path`, sorted by role; what is None was not given and is left out."""
    return {role: describe_path(path) for role, path in sorted(paths.items()) if path is not None}


def installed_versions(*more: str) -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, and of `more`, where they are installed."""
    versions = {"python": platform.python_version()}
    for name in (*_TRACKED, *more):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def describe_run(
    command: str, settings: dict[str, Any], inputs: Mapping[str, Path | None], seed: int | None = None
) -> dict[str, Any]:
    """Provenance record of one command.

    Parameters
    ----------
    command
        The verb, for instance ``"enhance"``.
    settings
        The options that shaped the result; anything not JSON-safe is turned into text.
    inputs
        Role → file or folder, each of which is hashed; None: not given.
    seed
        The seed of the run, if it has one.
    """
    record: dict[str, Any] = {
        "focus_version": __version__,
        "command": command,
        "settings": json.loads(json.dumps(settings, default=str, sort_keys=True)),
        "inputs": hash_inputs(inputs),
        "versions": installed_versions(),
    }
    if seed is not None:
        record["seed"] = int(seed)
    return record

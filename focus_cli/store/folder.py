"""What samples, references and models on disk have in common: a folder with named files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from focus_cli.errors import MissingResourceError


def require_files(path: Path, names: Sequence[str], kind: str, verb: str) -> None:
    """Refuse a folder that is not what it should be.

    Parameters
    ----------
    path
        The folder.
    names
        Files that it must hold.
    kind
        What the folder should be, for the message: ``"sample"``, ``"reference"`` or ``"model"``.
    verb
        The verb that makes such a folder.

    Raises
    ------
    MissingResourceError
        Naming the folder, or the first file, that is not there.
    """
    hint = f"focus {verb} makes one"
    if not Path(path).exists():
        raise MissingResourceError(f"no such {kind}: {path}", hint=hint)
    for name in names:
        if not (Path(path) / name).is_file():
            raise MissingResourceError(f"{path} is not a FOCUS {kind}: {name} is missing", hint=hint)

"""What samples, references and models on disk have in common: a folder with named files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.regular import require_folder, require_regular


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
        Naming the folder, or the first file, that is not there or cannot be read.
    BadInputError
        If one of them is no regular file.
    """
    hint = f"focus {verb} makes one"
    path = Path(path)
    if not os.path.lexists(path):
        raise MissingResourceError(f"no such {kind}: {path}", hint=hint)
    if os.path.isfile(path):
        raise BadInputError(f"{path} is a file, and a {kind} of FOCUS is a folder", hint=hint)
    require_folder(path)
    for name in names:
        if not os.path.lexists(path / name):
            raise MissingResourceError(f"{path} is not a FOCUS {kind}: {name} is missing", hint=hint)
        require_regular(path / name)

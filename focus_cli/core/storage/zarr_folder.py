"""Zarr stores that are not trusted: folders of regular files, nothing pickled, nothing outside of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.documents import parse_json
from focus_cli.core.storage.regular import read_bounded, require_folder

DESCRIPTIONS = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
_PICKLE = re.compile(rb'"(numcodecs\.)?pickle"')
_HINT = "write the store again as a folder of plain files"


def require_zarr(path: Path) -> Path:
    """Return `path` if it is a folder whose files zarr can be left to open.

    Chunks are opened by zarr without a look at what they are: a named pipe among them would block, and a link would
    make another file's content part of the store. Arrays that only unpickling would decode are refused, as that runs
    code.

    Raises
    ------
    MissingResourceError
        If there is no such folder.
    BadInputError
        If something in it is neither a folder nor a regular file of the store, or a description is damaged or names a
        pickle.
    """
    root = Path(os.path.realpath(require_folder(path)))
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    _check(entry, root)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except OSError as error:
            raise BadInputError(f"cannot read {folder}: {os.strerror(error.errno or 5)}", hint=_HINT) from error
    return path


def _check(entry: os.DirEntry, root: Path) -> None:
    if entry.is_symlink():
        target = Path(os.path.realpath(entry.path))
        if not (target.is_relative_to(root) and target.is_file()):
            raise BadInputError(f"{entry.path} is a link out of the store", hint=_HINT)
    elif not (entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)):
        raise BadInputError(f"{entry.path} is no regular file", hint=_HINT)
    if entry.name in DESCRIPTIONS and not entry.is_dir():
        content = read_bounded(Path(entry.path))
        if _PICKLE.search(content):
            raise BadInputError(f"{entry.path}: an array is pickled, which is not opened", hint="write the store again")
        parse_json(content, entry.path)
